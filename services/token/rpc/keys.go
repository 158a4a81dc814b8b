package rpc

import (
	"context"
	"errors"

	"google.golang.org/protobuf/types/known/timestamppb"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/token/keys"
)

// ReasonKeyNotYet says that a signing key cannot take over before verifiers have it.
const ReasonKeyNotYet = "KEY_TOO_NEW"

// ListSigningKeys implements AdminService.
func (a *admin) ListSigningKeys(ctx context.Context, _ *tokenv1.ListSigningKeysRequest) (*tokenv1.ListSigningKeysResponse, error) {
	records, err := a.Keys.List(ctx)
	if err != nil {
		return nil, leaving(err)
	}
	return &tokenv1.ListSigningKeysResponse{Keys: keysToProto(records)}, nil
}

// RotateSigningKeys implements AdminService.
func (a *admin) RotateSigningKeys(ctx context.Context, req *tokenv1.RotateSigningKeysRequest) (*tokenv1.RotateSigningKeysResponse, error) {
	algs := keys.Algs
	if asked := req.GetAlgs(); len(asked) > 0 {
		algs = nil
		for _, alg := range asked {
			algs = append(algs, keys.Alg(alg))
		}
	}
	signing, err := a.Keys.Rotate(ctx, algs)
	if early, ok := errors.AsType[*keys.NotYetError](err); ok {
		return nil, mesh.FailedPrecondition(ReasonKeyNotYet, early.Error())
	}
	if err != nil {
		return nil, leaving(err)
	}
	a.Logger.InfoContext(ctx, "signing keys rotated on request", "algs", algs, "by", mesh.Caller(ctx).Subject)
	return &tokenv1.RotateSigningKeysResponse{Keys: keysToProto(signing)}, nil
}

// RevokeSigningKey implements AdminService.
func (a *admin) RevokeSigningKey(ctx context.Context, req *tokenv1.RevokeSigningKeyRequest) (*tokenv1.RevokeSigningKeyResponse, error) {
	revoked, err := a.Keys.Revoke(ctx, req.GetKeyId())
	if errors.Is(err, keys.ErrUnknown) {
		return nil, mesh.NotFound("signing key", req.GetKeyId())
	}
	if err != nil {
		return nil, leaving(err)
	}
	a.Logger.WarnContext(ctx, "signing key revoked", "kid", revoked.ID, "by", mesh.Caller(ctx).Subject)
	return &tokenv1.RevokeSigningKeyResponse{Key: keyToProto(revoked)}, nil
}

func keysToProto(records []keys.Record) []*tokenv1.SigningKey {
	out := make([]*tokenv1.SigningKey, 0, len(records))
	for _, r := range records {
		out = append(out, keyToProto(r))
	}
	return out
}

func keyToProto(r keys.Record) *tokenv1.SigningKey {
	return &tokenv1.SigningKey{
		Id: r.ID, Alg: string(r.Alg), Status: string(r.Status), CreateTime: timestamppb.New(r.Created),
		ActivateTime: timestamp(r.Activated), RetireTime: timestamp(r.Retired),
	}
}
