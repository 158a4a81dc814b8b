package rpc

import (
	"context"
	"errors"

	"google.golang.org/protobuf/types/known/timestamppb"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/page"
	"github.com/realguardio/realguardio/services/token/oauth"
)

// RegisterWorkload implements AdminService.
func (a *admin) RegisterWorkload(ctx context.Context, req *tokenv1.RegisterWorkloadRequest) (*tokenv1.RegisterWorkloadResponse, error) {
	_, err := a.Clients.Client(ctx, req.GetName())
	if err == nil {
		// Of whatever kind: the name may have been somebody else's, whose tokens are out there.
		return nil, mesh.AlreadyExists("workload", "there is, or was, a client of this name")
	}
	if !errors.Is(err, oauth.ErrNotFound) {
		return nil, leaving(err)
	}
	c, secret, err := a.register(ctx, oauth.Client{
		ID: req.GetName(), Name: req.GetName(), Kind: oauth.KindWorkload, FirstParty: true,
		Grants: []string{oauth.GrantClientCredentials, oauth.GrantTokenExchange},
	})
	if err != nil {
		return nil, leaving(err)
	}
	return &tokenv1.RegisterWorkloadResponse{Workload: workloadToProto(c), ClientSecret: secret}, nil
}

// ListWorkloads implements AdminService.
func (a *admin) ListWorkloads(ctx context.Context, req *tokenv1.ListWorkloadsRequest) (*tokenv1.ListWorkloadsResponse, error) {
	const list page.List = "workloads"
	last, err := lastOf(list, req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize())
	workloads, err := a.Clients.Clients(ctx, oauth.KindWorkload, last, size+1)
	if err != nil {
		return nil, leaving(err)
	}
	workloads, next := page.Cut(list, workloads, size, func(c oauth.Client) []string { return []string{c.ID} })
	response := &tokenv1.ListWorkloadsResponse{NextPageToken: next}
	for _, c := range workloads {
		response.Workloads = append(response.Workloads, workloadToProto(c))
	}
	return response, nil
}

// RotateWorkloadSecret implements AdminService.
func (a *admin) RotateWorkloadSecret(ctx context.Context, req *tokenv1.RotateWorkloadSecretRequest) (*tokenv1.RotateWorkloadSecretResponse, error) {
	c, err := a.Clients.Client(ctx, req.GetName())
	if errors.Is(err, oauth.ErrNotFound) || err == nil && c.Kind != oauth.KindWorkload {
		return nil, mesh.NotFound("workload", req.GetName())
	}
	if err != nil {
		return nil, leaving(err)
	}
	c, secret, err := a.rotate(ctx, c, "client.secret.rotate", req.GetOverlap().AsDuration())
	if err != nil {
		return nil, leaving(err)
	}
	return &tokenv1.RotateWorkloadSecretResponse{Workload: workloadToProto(c), ClientSecret: secret}, nil
}

// DisableWorkload implements AdminService.
func (a *admin) DisableWorkload(ctx context.Context, req *tokenv1.DisableWorkloadRequest) (*tokenv1.DisableWorkloadResponse, error) {
	c, err := a.disable(ctx, oauth.KindWorkload, req.GetName(), nil)
	if errors.Is(err, oauth.ErrNotFound) {
		return nil, mesh.NotFound("workload", req.GetName())
	}
	if err != nil {
		return nil, leaving(err)
	}
	return &tokenv1.DisableWorkloadResponse{Workload: workloadToProto(c)}, nil
}

func workloadToProto(c oauth.Client) *tokenv1.Workload {
	return &tokenv1.Workload{Name: c.ID, CreateTime: timestamppb.New(c.Created), Disabled: !c.Disabled.IsZero()}
}
