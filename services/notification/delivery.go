package notification

import (
	"math/rand/v2"
	"time"
)

// Channel is how a message reaches a person.
type Channel string

// Email is the channel of mail.
const Email Channel = "EMAIL"

// State is what has become of a delivery.
type State string

const (
	// Pending waits for its first or next attempt.
	Pending State = "PENDING"
	// Sent was taken by the mail server.
	Sent State = "SENT"
	// Failed was given up.
	Failed State = "FAILED"
)

// Delivery is one message to one person over one channel.
type Delivery struct {
	ID      string
	EventID string
	UserID  string
	Channel Channel
	// Name and Address are the person's.
	Name    string
	Address string
	Subject string
	State   State
	// Attempts is how often delivery was tried.
	Attempts   int
	CreateTime time.Time
	// SentTime is zero until the message is sent.
	SentTime time.Time
}

// Retry says how often a delivery is tried, and when.
type Retry struct {
	// Attempts is after how many a delivery is given up. Default: 12, which takes about three hours.
	Attempts int
	// First is the pause after the first attempt; it doubles after each. Default: 10 seconds.
	First time.Duration
	// Longest limits the pause. Default: 1 hour.
	Longest time.Duration
}

func (r Retry) withDefaults() Retry {
	if r.Attempts <= 0 {
		r.Attempts = 12
	}
	if r.First <= 0 {
		r.First = 10 * time.Second
	}
	if r.Longest <= 0 {
		r.Longest = time.Hour
	}
	return r
}

// Pause returns how long to wait after so many attempts: up to a quarter less than the pause proper, so that messages
// that failed together do not come back together.
func (r Retry) Pause(attempts int) time.Duration {
	pause := r.First
	for range attempts - 1 {
		if pause = min(2*pause, r.Longest); pause == r.Longest {
			break
		}
	}
	return pause - rand.N(pause/4+1)
}
