package account

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
)

// deviceID is how many random bytes tell one browser from another.
const deviceID = 16

// devices tells browsers that have signed in to an account from all others, by what they were given then: a random number
// with an authentication code over it and the account. Nothing is stored for it, and it says of whom it is only to who
// knows already. It admits nobody: it only has its bearer's tries counted apart.
type devices struct{ key []byte }

// give returns what a browser keeps that has just signed in as user: what it has, if that is good, or something new.
func (d devices) give(user User, has string) string {
	if _, known := d.recognize(user, has); known {
		return has
	}
	id := make([]byte, deviceID)
	rand.Read(id)
	return base64.RawURLEncoding.EncodeToString(append(id, d.code(user, id)...))
}

// recognize returns the id of the browser that has signed in to this very account before, since the account's epoch was
// last raised.
func (d devices) recognize(user User, has string) (id string, known bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(has)
	if err != nil || len(raw) != deviceID+sha256.Size {
		return "", false
	}
	given := raw[:deviceID]
	authentic := hmac.Equal(raw[deviceID:], d.code(user, given))
	// An account that does not exist takes as long as one that does.
	return base64.RawURLEncoding.EncodeToString(given), authentic && user.ID != ""
}

// code is bound to its purpose: the key makes refresh tokens too.
func (d devices) code(user User, id []byte) []byte {
	mac := hmac.New(sha256.New, d.key)
	fmt.Fprintf(mac, "device\x00%s\x00%d\x00", user.ID, user.Epoch)
	mac.Write(id)
	return mac.Sum(nil)
}
