package account

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"time"
)

// Purpose is what a link in a mail is good for, and nothing else.
type Purpose string

// Purposes of links.
const (
	// Invitation lets somebody choose the first password of an account.
	Invitation Purpose = "invitation"
	// Reset lets somebody choose another password.
	Reset Purpose = "reset"
	// Verification proves that somebody reads the account's address.
	Verification Purpose = "verification"
	// NewAddress gives the account another address, and proves that somebody reads it.
	NewAddress Purpose = "new-address"
)

// lifetimes are how long links are good.
var lifetimes = map[Purpose]time.Duration{
	Invitation: 7 * 24 * time.Hour, Reset: 30 * time.Minute, Verification: 24 * time.Hour, NewAddress: 24 * time.Hour,
}

// The pages that links lead to, below the issuer.
const (
	PasswordPath = "/password"
	VerifyPath   = "/verify"
)

// LinkParameter is the parameter of those pages that has the secret.
const LinkParameter = "link"

// Ticket is a link in a mail: whoever reads it may do one thing to one account, once. There is at most one for an account
// and a purpose: a newer one takes the place of the one before.
//
// Its secret is 256 bits that nobody can compute who does not have both the nonce, which is in the database, and the
// service's key, which is not. So it need not be stored for the mail to be written, or written again: of the secret itself
// only the hash is kept.
type Ticket struct {
	UserID  string
	Purpose Purpose
	// Hash is of the secret; the link is found by it.
	Hash  string
	Nonce []byte
	// Email is the address that it is sent to, and about; empty for one that is handed over by an operator.
	Email   string
	Created time.Time
	Expires time.Time
}

// tickets makes tickets and their secrets.
type tickets struct {
	key    []byte
	issuer string
}

func (t tickets) make(userID string, purpose Purpose, email string, now time.Time) *Ticket {
	nonce := make([]byte, 32)
	rand.Read(nonce)
	ticket := &Ticket{UserID: userID, Purpose: purpose, Nonce: nonce, Email: email, Created: now, Expires: now.Add(lifetimes[purpose])}
	ticket.Hash = hashSecret(t.secret(ticket))
	return ticket
}

// secret is bound to its purpose: the key makes other things too.
func (t tickets) secret(ticket *Ticket) string {
	mac := hmac.New(sha256.New, t.key)
	mac.Write([]byte("link\x00" + string(ticket.Purpose) + "\x00" + ticket.UserID + "\x00"))
	mac.Write(ticket.Nonce)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// url is what stands in the mail: built from the configured issuer, never from what a request says.
func (t tickets) url(ticket *Ticket) string {
	path := PasswordPath
	if ticket.Purpose == Verification || ticket.Purpose == NewAddress {
		path = VerifyPath
	}
	return t.issuer + path + "?" + url.Values{LinkParameter: {t.secret(ticket)}}.Encode()
}

func hashSecret(secret string) string {
	sum := sha256.Sum256([]byte("link\x00" + secret))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// URL is where a ticket leads.
func (l *Lifecycle) URL(ticket *Ticket) string { return l.tickets.url(ticket) }
