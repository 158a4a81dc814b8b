package customer

import (
	"math"
	"strconv"
	"time"

	"github.com/realguardio/realguardio/services/internal/page"
	"github.com/realguardio/realguardio/services/internal/sqldb"
)

// beginning is before every row.
var beginning = Position{CreateTime: time.UnixMicro(math.MinInt64)}

// listOf names the list of the things of a kind that belong to a customer.
func listOf(customerID, kind string) page.List {
	return page.List("customers/" + customerID + "/" + kind)
}

// rangeOf reads which part of a list in order of creation is asked for. It asks the store for one row more than goes on
// the page, which tells whether there is a next one.
func rangeOf(list page.List, pageSize int32, pageToken string) (Range, error) {
	parts, err := list.After(pageToken, 2)
	if err != nil {
		return Range{}, err
	}
	r := Range{After: beginning, Limit: page.Size(pageSize) + 1}
	if parts != nil {
		at, err := strconv.ParseInt(parts[0], 10, 64)
		if err != nil {
			return Range{}, page.InvalidToken()
		}
		r.After = Position{CreateTime: time.UnixMicro(at), ID: parts[1]}
	}
	return r, nil
}

// placeOf is the sort key of something in a list in order of creation.
func placeOf(createTime time.Time, id string) []string {
	return []string{strconv.FormatInt(sqldb.Micros(createTime), 10), id}
}

// each converts a list.
func each[T, P any](values []T, convert func(T) P) []P {
	converted := make([]P, len(values))
	for i, v := range values {
		converted[i] = convert(v)
	}
	return converted
}
