package oauth

import (
	"context"
	"errors"
	"fmt"
)

// proveByDevice is a device that asks whether its person has answered (RFC 8628, sections 3.4 and 3.5). A device code that
// was redeemed already ends what had come of it, as an authorization code does.
func (s *Server) proveByDevice(ctx context.Context, client *Client, _ []string, req TokenRequest) (claim, error) {
	raw := req.Form.Get("device_code")
	if raw == "" {
		return claim{}, refuse(CodeInvalidRequest, "device_code is missing")
	}
	hash := hashCode(raw)
	d, err := s.Devices.Device(ctx, hash)
	if errors.Is(err, ErrNotFound) || err == nil && d.ClientID != client.ID {
		return claim{}, errInvalidGrant()
	}
	if err != nil {
		return claim{}, fmt.Errorf("looking up a device's request: %w", err)
	}
	switch {
	case d.State == DeviceUsed:
		return claim{}, s.codeReplayed(ctx, client, Code{Grant: d.Grant})
	case !s.Now().Before(d.Expires):
		return claim{}, refuse(CodeExpiredToken, "the device code has expired; begin again")
	case d.State == DeviceDenied:
		return claim{}, refuse(CodeAccessDenied, "the person did not allow it")
	case d.State == DevicePending:
		return claim{}, s.notAnswered(ctx, hash)
	}
	if _, err := d.Grant.narrowed(req.resources); err != nil {
		return claim{}, err // before the code is spent
	}
	used := d
	used.State, used.Grant = DeviceUsed, (&Code{Grant: d.Grant}).remains().Grant
	first, err := s.Devices.UseDevice(ctx, hash, used, grantLifetime)
	if errors.Is(err, ErrNotFound) {
		return claim{}, errInvalidGrant()
	}
	if err != nil {
		return claim{}, fmt.Errorf("redeeming a device code: %w", err)
	}
	if !first {
		return claim{}, s.codeReplayed(ctx, client, Code{Grant: d.Grant})
	}
	user, err := s.grantor(ctx, &d.Grant)
	if err != nil {
		return claim{}, err
	}
	return s.open(ctx, client, &user, d.Grant, req.sender)
}

// notAnswered tells a device to come again, later if it came too soon.
func (s *Server) notAnswered(ctx context.Context, hash string) error {
	tooSoon, err := s.Devices.PollDevice(ctx, hash, s.Now(), deviceSlowDown)
	if errors.Is(err, ErrNotFound) {
		return errInvalidGrant()
	}
	if err != nil {
		return fmt.Errorf("counting a device's polls: %w", err)
	}
	if tooSoon {
		return refuse(CodeSlowDown, "wait five seconds longer between polls from now on")
	}
	return refuse(CodeAuthorizationPending, "the person has not answered yet")
}
