package customer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
)

// ownerOf is what the identity provider knows a customer by.
func ownerOf(customerID string) string { return "customer:" + customerID }

// checkKey refuses a key that is not this customer's.
func (v view) checkKey(ctx context.Context, keyID string) error {
	if !keyForm(keyID) {
		return mesh.NotFound(aKey, keyID)
	}
	key, err := v.Key(ctx, keyID)
	if err := found(err, aKey, keyID); err != nil {
		return err
	}
	if key.CustomerID != v.who.CustomerID {
		return mesh.NotFound(aKey, keyID)
	}
	return nil
}

// notOfAnother refuses a key that is known to be another customer's. One that is not known may be left over from a
// CreateApiKey that failed; whose that is the identity provider knows.
func (v view) notOfAnother(ctx context.Context, keyID string) error {
	if !keyForm(keyID) {
		return mesh.NotFound(aKey, keyID)
	}
	key, err := v.Key(ctx, keyID)
	if errors.Is(err, errAbsent) {
		return nil
	}
	if err == nil && key.CustomerID != v.who.CustomerID {
		return mesh.NotFound(aKey, keyID)
	}
	return err
}

// keyForm tells whether an id may be a key's. The identity provider makes them, of printable ASCII.
func keyForm(keyID string) bool {
	for _, c := range []byte(keyID) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return keyID != ""
}

// lookAtKeys begins a look at the customer's keys, which are for its admins alone.
func (s *Service) lookAtKeys(ctx context.Context, customerID string) (view, error) {
	v, err := s.look(ctx, customerID)
	if err != nil {
		return view{}, err
	}
	return v, managed(DecideContents(v.who), aCustomer, customerID)
}

// CreateApiKey makes the key at the identity provider and then stores whose it is. Should that fail, the key is revoked
// again; should that fail too, it is a key without rights, whose secret nobody has seen.
func (s *Service) CreateApiKey(ctx context.Context, req *customerv1.CreateApiKeyRequest) (*customerv1.CreateApiKeyResponse, error) {
	if err := lines("name", req.GetName()); err != nil {
		return nil, err
	}
	if at := req.GetExpireTime(); at != nil && (at.CheckValid() != nil || !at.AsTime().After(s.now())) {
		return nil, errKeyExpiry()
	}
	if _, err := s.lookAtKeys(ctx, req.GetCustomerId()); err != nil {
		return nil, err
	}
	made, err := s.accounts.CreateApiKey(ctx, &tokenv1.CreateApiKeyRequest{
		Owner:  ownerOf(req.GetCustomerId()),
		Name:   req.GetName(),
		Scopes: req.GetScopes(),

		ExpireTime: req.GetExpireTime(),
	})
	if status.Code(err) == codes.InvalidArgument && req.GetExpireTime() != nil {
		return nil, errKeyExpiry() // everything else has been looked at; its clock is before ours
	}
	if err != nil {
		return nil, remote(ctx, "the identity provider", "make an API key", err)
	}
	keyID := made.GetApiKey().GetId()
	err = s.change(ctx, req.GetCustomerId(), func(v view) error {
		if err := managed(DecideContents(v.who), aCustomer, v.who.CustomerID); err != nil {
			return err
		}
		if err := v.AddKey(ctx, KeyLink{KeyID: keyID, CustomerID: v.who.CustomerID, CreateTime: v.now, CreatedBy: v.who.ID}); err != nil {
			return err
		}
		return v.did(ctx, "key.create", keyID, nil)
	})
	if err != nil {
		return nil, s.undoKey(ctx, req.GetCustomerId(), keyID, err)
	}
	return &customerv1.CreateApiKeyResponse{ApiKey: keyProto(made.GetApiKey()), Secret: made.GetSecret()}, nil
}

func errKeyExpiry() error { return mesh.InvalidField("expireTime", "must be in the future") }

// finishing is a context for a change at the identity provider and for what belongs to it here: once begun they are made,
// though the caller may go. Otherwise one who goes at the right moment could change a key and not be recorded.
func finishing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
}

// undoKey revokes a key that could not be stored, even where the call that made it is over, and returns why it could
// not.
func (s *Service) undoKey(ctx context.Context, customerID, keyID string, why error) error {
	ctx, cancel := finishing(ctx)
	defer cancel()
	_, err := s.accounts.RevokeApiKey(ctx, &tokenv1.RevokeApiKeyRequest{Owner: ownerOf(customerID), Id: keyID})
	if err != nil {
		s.log.ErrorContext(ctx, "an API key without rights is left over",
			slog.String("key", keyID), slog.String("error", err.Error()), slog.String("because", why.Error()))
	}
	if errors.Is(why, errDuplicate) {
		return fmt.Errorf("the identity provider gave the API key %s twice", keyID)
	}
	return why
}

// ListApiKeys implements the RPC.
func (s *Service) ListApiKeys(ctx context.Context, req *customerv1.ListApiKeysRequest) (*customerv1.ListApiKeysResponse, error) {
	if _, err := s.lookAtKeys(ctx, req.GetCustomerId()); err != nil {
		return nil, err
	}
	keys, err := s.accounts.ListApiKeys(ctx, &tokenv1.ListApiKeysRequest{Owner: ownerOf(req.GetCustomerId())})
	if err != nil {
		return nil, remote(ctx, "the identity provider", "list API keys", err)
	}
	return &customerv1.ListApiKeysResponse{ApiKeys: each(keys.GetApiKeys(), keyProto)}, nil
}

// RotateApiKey implements the RPC.
func (s *Service) RotateApiKey(ctx context.Context, req *customerv1.RotateApiKeyRequest) (*customerv1.RotateApiKeyResponse, error) {
	v, err := s.lookAtKeys(ctx, req.GetCustomerId())
	if err != nil {
		return nil, err
	}
	if err := v.checkKey(ctx, req.GetApiKeyId()); err != nil {
		return nil, err
	}
	ctx, cancel := finishing(ctx)
	defer cancel()
	answer, err := s.accounts.RotateApiKey(ctx, &tokenv1.RotateApiKeyRequest{
		Owner: ownerOf(req.GetCustomerId()), Id: req.GetApiKeyId(), Overlap: req.GetOverlap(),
	})
	switch status.Code(err) {
	case codes.OK:
		s.rotated(ctx, v, req.GetApiKeyId())
		return &customerv1.RotateApiKeyResponse{ApiKey: keyProto(answer.GetApiKey()), Secret: answer.GetSecret()}, nil
	case codes.NotFound:
		return nil, mesh.NotFound(aKey, req.GetApiKeyId())
	case codes.FailedPrecondition:
		return nil, mesh.FailedPrecondition("API_KEY_ENDED", "the API key was revoked, or has expired")
	case codes.Aborted:
		return nil, mesh.Aborted("SECRET_ROTATED", "somebody else rotated the API key at this moment")
	}
	return nil, remote(ctx, "the identity provider", "rotate an API key", err)
}

// rotated records that a key has another secret. That has happened, and its secret is shown once: where it cannot be recorded
// the log of the identity provider alone has it, by the request id.
func (s *Service) rotated(ctx context.Context, v view, keyID string) {
	err := s.store.Tx(ctx, func(r Records) error {
		return r.Note(ctx, Deed{Action: "key.rotate", Target: keyID, CustomerID: v.who.CustomerID, Time: s.now()})
	})
	if err != nil {
		s.log.ErrorContext(ctx, "it was not recorded who rotated an API key", slog.String("key", keyID),
			slog.String("request_id", mesh.RequestID(ctx)), slog.String("error", err.Error()))
	}
}

// RevokeApiKey ends the key at the identity provider first: rights without a key are harmless.
func (s *Service) RevokeApiKey(ctx context.Context, req *customerv1.RevokeApiKeyRequest) (*customerv1.RevokeApiKeyResponse, error) {
	v, err := s.lookAtKeys(ctx, req.GetCustomerId())
	if err != nil {
		return nil, err
	}
	if err := v.notOfAnother(ctx, req.GetApiKeyId()); err != nil {
		return nil, err
	}
	key, err := s.revokeKey(ctx, req.GetCustomerId(), req.GetApiKeyId())
	if err != nil {
		return nil, err
	}
	return &customerv1.RevokeApiKeyResponse{ApiKey: keyProto(key)}, nil
}

// revokeKey ends a key of the customer and what was granted to it.
func (s *Service) revokeKey(ctx context.Context, customerID, keyID string) (*tokenv1.ApiKey, error) {
	ctx, cancel := finishing(ctx)
	defer cancel()
	answer, err := s.accounts.RevokeApiKey(ctx, &tokenv1.RevokeApiKeyRequest{Owner: ownerOf(customerID), Id: keyID})
	if status.Code(err) == codes.NotFound {
		return nil, mesh.NotFound(aKey, keyID)
	}
	if err != nil {
		return nil, remote(ctx, "the identity provider", "revoke an API key", err)
	}
	return answer.GetApiKey(), s.store.Tx(ctx, func(r Records) error {
		if err := r.RemoveKey(ctx, customerID, keyID); err != nil {
			return err
		}
		return r.Note(ctx, Deed{Action: "key.revoke", Target: keyID, CustomerID: customerID, Time: s.now()})
	})
}

// revokeAllKeys ends every key of the customer.
func (s *Service) revokeAllKeys(ctx context.Context, customerID string) error {
	keys, err := s.accounts.ListApiKeys(ctx, &tokenv1.ListApiKeysRequest{Owner: ownerOf(customerID)})
	if err != nil {
		return remote(ctx, "the identity provider", "list API keys", err)
	}
	for _, key := range keys.GetApiKeys() {
		if _, err := s.revokeKey(ctx, customerID, key.GetId()); err != nil {
			return err
		}
	}
	return nil
}
