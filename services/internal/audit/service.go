package audit

import (
	"context"
	"maps"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	auditv1 "github.com/realguardio/realguardio/gen/go/realguardio/audit/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/page"
	"github.com/realguardio/realguardio/services/internal/sqldb"
)

// Service implements AuditService on the log of one part.
type Service struct {
	auditv1.UnsafeAuditServiceServer
	db   *sqldb.DB
	part string
}

// NewService returns the service of a part whose database Migrate has seen.
func NewService(db *sqldb.DB, part string) *Service { return &Service{db: db, part: part} }

// Register adds the service to a server.
func (s *Service) Register(r grpc.ServiceRegistrar) { auditv1.RegisterAuditServiceServer(r, s) }

// ListEntries implements AuditService.
func (s *Service) ListEntries(ctx context.Context, req *auditv1.ListEntriesRequest) (*auditv1.ListEntriesResponse, error) {
	if req.GetPart() != s.part {
		return nil, mesh.NotFound("audit log", req.GetPart())
	}
	list := page.List("audit/" + s.part)
	before, err := placeIn(list, req.GetPageToken())
	if err != nil {
		return nil, err
	}
	filter := Filter{Actor: req.GetActor(), Target: req.GetTarget(), Action: req.GetAction()}
	if strings.ContainsRune(filter.Actor+filter.Target+filter.Action, 0) { // no entry has one
		return &auditv1.ListEntriesResponse{}, nil
	}
	response := &auditv1.ListEntriesResponse{}
	if before == 0 {
		response.LastNumber, err = lastOf(ctx, s.db)
	}
	if err != nil {
		return nil, s.failed(err)
	}
	size := page.Size(req.GetPageSize())
	entries, err := List(ctx, s.db, filter, before, size+1)
	if err != nil {
		return nil, s.failed(err)
	}
	entries, next := page.Cut(list, entries, size, func(e Entry) []string { return []string{strconv.FormatInt(e.Number, 10)} })
	response.NextPageToken = next
	for _, e := range entries {
		response.Entries = append(response.Entries, e.proto())
	}
	return response, nil
}

// failed is what a caller is told of an error of the database.
func (s *Service) failed(err error) error {
	if sqldb.IsUnavailable(err) {
		return mesh.Unavailable("the database of " + s.part)
	}
	return err
}

// placeIn is the number of the last entry of the page before; 0 for the first page.
func placeIn(list page.List, token string) (int64, error) {
	parts, err := list.After(token, 1)
	if err != nil || parts == nil {
		return 0, err
	}
	number, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil || number < 1 || strconv.FormatInt(number, 10) != parts[0] {
		return 0, page.InvalidToken()
	}
	return number, nil
}

// others are the details that have no field of their own.
func (e *Entry) others() map[string]string {
	details := maps.Clone(e.Details)
	delete(details, detailActors)
	delete(details, detailVia)
	return details
}

// FromProto is an entry as it was written, from how it is shown.
func FromProto(shown *auditv1.Entry) Entry {
	e := Entry{
		Number: shown.GetNumber(), Time: shown.GetTime().AsTime(), Actor: shown.GetActor(), ClientID: shown.GetClientId(), Actors: shown.GetActors(),
		Action: shown.GetAction(), Target: shown.GetTarget(), Result: shown.GetResult(), Address: shown.GetAddress(), RequestID: shown.GetRequestId(),
		Details: maps.Clone(shown.GetDetails()), Hash: shown.GetHash(),
	}
	if e.Details == nil {
		e.Details = map[string]string{}
	}
	if len(e.Actors) > 0 {
		e.Details[detailActors] = listed(e.Actors)
	}
	if shown.GetVia() != "" {
		e.Via = append([]string{shown.GetVia()}, shown.GetThrough()...)
		e.Details[detailVia] = listed(e.Via)
	}
	return e
}

func (e *Entry) proto() *auditv1.Entry {
	shown := &auditv1.Entry{
		Number: e.Number, Time: timestamppb.New(e.Time), Actor: e.Actor, ClientId: e.ClientID, Action: e.Action, Target: e.Target,
		Result: e.Result, Address: e.Address, RequestId: e.RequestID, Details: e.others(), Hash: e.Hash,
		Actors: e.Actors,
	}
	if len(e.Via) > 0 {
		shown.Via, shown.Through = e.Via[0], e.Via[1:]
	}
	return shown
}
