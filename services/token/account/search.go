package account

import (
	"context"
	"fmt"
	"strings"
)

// searchBatch is how many accounts are looked through at a time.
const searchBatch = 500

// Search returns the first limit accounts, by the key of their addresses and from the one after that key, whose address or
// name contains query in upper or lower case. What upper and lower case are in all scripts is known here and not to every
// database.
func (l *Lifecycle) Search(ctx context.Context, query, after string, limit int) ([]User, error) {
	query = strings.ToLower(query)
	batch := limit
	if query != "" {
		batch = searchBatch
	}
	var found []User
	for {
		users, err := l.People.ListUsers(ctx, after, batch)
		if err != nil {
			return nil, fmt.Errorf("searching accounts: %w", err)
		}
		for _, u := range users {
			if after = EmailKey(u.Email); !strings.Contains(after, query) && !strings.Contains(strings.ToLower(u.Name), query) {
				continue
			}
			if found = append(found, u); len(found) == limit {
				return found, nil
			}
		}
		if len(users) < batch {
			return found, nil
		}
	}
}
