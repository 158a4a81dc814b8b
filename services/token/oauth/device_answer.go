package oauth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/realguardio/realguardio/services/token/account"
)

// Wrong user codes are counted for who is signed in, wherever they come from, and for where they come from, whoever is
// signed in. A right one is no excuse for them: anybody can begin a request of their own and type its code.
const (
	guessesPerSession = 10
	sessionWindow     = 12 * time.Hour
	guessesPerUser    = 20
	userWindow        = time.Hour
	guessesPerNetwork = 50
	networkWindow     = 15 * time.Minute
)

// PendingDevice is a device's request that a person is asked about.
type PendingDevice struct {
	// ID finds it again. It is the hash of the device code, and of no use to who would redeem that.
	ID     string
	Client Client
	Device
}

// Guesser is who types a user code.
type Guesser struct{ UserID, SessionID, Address string }

// PendingDevice returns the request with a user code. It is ErrNotFound for a code that there never was, that has expired
// and that was answered alike, and CodeSlowDown for who has typed too many such.
func (s *Server) PendingDevice(ctx context.Context, userCode string, who Guesser) (PendingDevice, error) {
	buckets := []account.Bucket{
		{Name: "usercode:session:" + who.SessionID, Limit: guessesPerSession, Window: sessionWindow},
		{Name: "usercode:user:" + who.UserID, Limit: guessesPerUser, Window: userWindow},
		{Name: "usercode:network:" + account.Network(who.Address), Limit: guessesPerNetwork, Window: networkWindow},
	}
	// Counted before it is looked up: of many guesses at once no more are looked up than of as many one after another.
	if err := s.count(ctx, "too many wrong codes", buckets); err != nil {
		return PendingDevice{}, err
	}
	id, err := s.Devices.DeviceByUserCode(ctx, s.hashUserCode(UserCode(userCode)))
	if err != nil {
		return PendingDevice{}, err
	}
	p, err := s.pendingDevice(ctx, id)
	if err != nil {
		return PendingDevice{}, err
	}
	if err := s.Attempts.Forgive(ctx, buckets); err != nil {
		return PendingDevice{}, fmt.Errorf("counting attempts: %w", err)
	}
	return p, nil
}

func (s *Server) pendingDevice(ctx context.Context, id string) (PendingDevice, error) {
	d, err := s.Devices.Device(ctx, id)
	if err != nil {
		return PendingDevice{}, err
	}
	if d.State != DevicePending || !s.Now().Before(d.Expires) {
		return PendingDevice{}, ErrNotFound
	}
	client, err := s.Clients.Client(ctx, d.ClientID)
	if err != nil {
		return PendingDevice{}, err
	}
	if !client.Live(s.Now()) || !client.Allows(GrantDeviceCode) || !covers(client.Scopes, d.Scopes) {
		return PendingDevice{}, ErrNotFound
	}
	return PendingDevice{ID: id, Client: client, Device: d}, nil
}

// AllowDevice gives a device what it asked for, in the name of a person who is signed in, and remembers that as a consent,
// as of any application that is not one of our own. ErrNotFound if it is not pending any more: of any number of answers one
// counts.
func (s *Server) AllowDevice(ctx context.Context, id string, user *account.User, session *account.Session) (PendingDevice, error) {
	pending, err := s.pendingDevice(ctx, id)
	if err != nil {
		return PendingDevice{}, err
	}
	if err := s.visit(ctx, session, &pending.Client); err != nil {
		return PendingDevice{}, err
	}
	if !pending.Client.FirstParty { // before the device can have anything, so that all it gets can be found and taken back
		if err := s.Consents.RememberConsent(ctx, user.ID, pending.ClientID, ToAllow(pending.Scopes), s.Now()); err != nil {
			return PendingDevice{}, fmt.Errorf("remembering a consent: %w", err)
		}
	}
	return s.answerDevice(ctx, id, func(p *PendingDevice) {
		grant := newGrant(&p.Client, user, p.Scopes, s.Now())
		grant.SessionID, grant.AuthTime, grant.Methods, grant.Audience = session.ID, session.AuthTime, session.Methods, p.Resources
		p.State, p.Grant = DeviceAllowed, grant
	})
}

// DenyDevice refuses it. ErrNotFound as for AllowDevice.
func (s *Server) DenyDevice(ctx context.Context, id string) (PendingDevice, error) {
	return s.answerDevice(ctx, id, func(p *PendingDevice) { p.State = DeviceDenied })
}

func (s *Server) answerDevice(ctx context.Context, id string, answer func(*PendingDevice)) (PendingDevice, error) {
	p, err := s.pendingDevice(ctx, id)
	if err != nil {
		return PendingDevice{}, err
	}
	answer(&p)
	first, err := s.Devices.AnswerDevice(ctx, id, p.Device)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return PendingDevice{}, fmt.Errorf("answering a device: %w", err)
	}
	if err != nil || !first {
		return PendingDevice{}, ErrNotFound
	}
	return p, nil
}
