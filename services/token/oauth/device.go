package oauth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/realguardio/realguardio/services/token/account"
)

const (
	// deviceLifetime is how long a person may take to get to a browser, sign in there and type a code.
	deviceLifetime = 10 * time.Minute
	// devicePollEvery is what devices are told to wait between two polls; every poll that comes sooner adds deviceSlowDown
	// to it (RFC 8628, section 3.5).
	devicePollEvery = 5 * time.Second
	deviceSlowDown  = 5 * time.Second
	// devicesPerNetwork and devicesPerClient bound the requests, of half a kilobyte each, that wait at once. Whoever knows
	// the id of a public client can make them.
	devicesPerNetwork = 100
	devicesPerClient  = 5000
)

// DeviceState is what has become of a device's request.
type DeviceState string

// A request is pending until a person answers it, and used once its device has got its tokens.
const (
	DevicePending DeviceState = "pending"
	DeviceAllowed DeviceState = "allowed"
	DeviceDenied  DeviceState = "denied"
	DeviceUsed    DeviceState = "used"
)

// Device is the request of a device that has no browser (RFC 8628). Of its two codes only hashes are kept.
type Device struct {
	ClientID  string
	Scopes    []string
	Resources []string
	Expires   time.Time
	State     DeviceState
	// Grant is what a person has allowed; of a request that was used, what is left to revoke it by.
	Grant Grant
}

// DeviceRequest is a request to the device authorization endpoint (RFC 8628, section 3.1).
type DeviceRequest struct {
	Credentials Credentials
	Form        url.Values
	// Address is where it came from.
	Address string
}

// DeviceResponse is the answer (RFC 8628, section 3.2).
type DeviceResponse struct {
	DeviceCode      string `json:"device_code"`
	UserCode        string `json:"user_code"`
	VerificationURI string `json:"verification_uri"`
	// Complete spares the person to type the code, not to compare it.
	Complete  string `json:"verification_uri_complete"`
	ExpiresIn int64  `json:"expires_in"`
	Interval  int64  `json:"interval"`
}

// DevicePath is where people go with their user code, below the issuer.
const DevicePath = "/device"

// AuthorizeDevice begins the authorization of a device. Its refusals are Errors.
func (s *Server) AuthorizeDevice(ctx context.Context, req DeviceRequest) (DeviceResponse, error) {
	client, err := s.Authenticate(ctx, req.Credentials)
	if err != nil {
		return DeviceResponse{}, err
	}
	if !client.Allows(GrantDeviceCode) {
		return DeviceResponse{}, refuse(CodeUnauthorizedClient, "this client is not registered for this grant type")
	}
	d := Device{ClientID: client.ID, State: DevicePending, Expires: s.Now().Add(deviceLifetime)}
	if d.Scopes, err = within(parseScopes(req.Form.Get("scope")), client.Scopes); err != nil {
		return DeviceResponse{}, err
	}
	if d.Resources, err = targets(req.Form["resource"]); err != nil {
		return DeviceResponse{}, err
	}
	err = s.count(ctx, "too many devices are waiting already", []account.Bucket{
		{Name: "device:" + account.Network(req.Address), Limit: devicesPerNetwork, Window: deviceLifetime},
		{Name: "device-client:" + client.ID, Limit: devicesPerClient, Window: deviceLifetime},
	})
	if err != nil {
		return DeviceResponse{}, err
	}
	deviceCode := rand.Text() + rand.Text()
	userCode, err := s.keepDevice(ctx, hashCode(deviceCode), d)
	if err != nil {
		return DeviceResponse{}, err
	}
	at := s.Issuer + DevicePath
	return DeviceResponse{
		DeviceCode: deviceCode, UserCode: userCode, VerificationURI: at, Complete: at + "?" + url.Values{"user_code": {userCode}}.Encode(),
		ExpiresIn: int64(deviceLifetime / time.Second), Interval: int64(devicePollEvery / time.Second),
	}, nil
}

// keepDevice stores a request under a user code that no other one has.
func (s *Server) keepDevice(ctx context.Context, hash string, d Device) (userCode string, err error) {
	for range 5 { // one in millions is in use
		userCode = newUserCode()
		fresh, err := s.Devices.PutDevice(ctx, hash, s.hashUserCode(userCode), d, devicePollEvery, deviceLifetime)
		if err != nil {
			return "", fmt.Errorf("storing a device's request: %w", err)
		}
		if fresh {
			return userCode, nil
		}
	}
	return "", errors.New("storing a device's request: no user code is free")
}

// count takes one from each of the buckets, or refuses because one of them is empty.
func (s *Server) count(ctx context.Context, tooMany string, buckets []account.Bucket) error {
	wait, err := s.Attempts.Begin(ctx, buckets)
	if err != nil {
		return fmt.Errorf("counting attempts: %w", err)
	}
	if wait > 0 {
		return &Error{Code: CodeSlowDown, Description: tooMany, RetryAfter: wait}
	}
	return nil
}

// userCodeAlphabet has no vowels, so that no code is a word, and nothing that looks like something else (RFC 8628,
// section 6.1). Eight of these are 34 bits, of which the limits on guessing let nobody try more than a few.
const (
	userCodeAlphabet = "BCDFGHJKLMNPQRSTVWXZ"
	userCodeLength   = 8
)

func newUserCode() string {
	code := make([]byte, 0, userCodeLength)
	for len(code) < userCodeLength {
		var random [2 * userCodeLength]byte
		rand.Read(random[:])
		for _, b := range random {
			// The rest of 256 by 20 would make some letters likelier than others.
			if int(b) < 256-256%len(userCodeAlphabet) && len(code) < userCodeLength {
				code = append(code, userCodeAlphabet[int(b)%len(userCodeAlphabet)])
			}
		}
	}
	return UserCode(string(code))
}

// UserCode returns a user code as devices show it, whatever case and dashes a person has typed; "" for what is none.
func UserCode(typed string) string {
	if len(typed) > 64 {
		return ""
	}
	letters := strings.Map(func(r rune) rune {
		if strings.ContainsRune("- .", r) {
			return -1
		}
		return r
	}, strings.ToUpper(typed))
	if len(letters) != userCodeLength || strings.Trim(letters, userCodeAlphabet) != "" {
		return ""
	}
	return letters[:userCodeLength/2] + "-" + letters[userCodeLength/2:]
}

// hashUserCode is keyed: of so few codes all plain hashes could be tried.
func (s *Server) hashUserCode(code string) string {
	mac := hmac.New(sha256.New, s.MACKey)
	fmt.Fprintf(mac, "user code\x00%s", code)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
