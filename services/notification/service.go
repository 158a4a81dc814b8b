package notification

import (
	"context"
	"log/slog"

	notificationv1 "github.com/realguardio/realguardio/gen/go/realguardio/notification/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/page"
	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/internal/trail"
)

// Service implements NotificationService, and does its work while Run runs.
type Service struct {
	notificationv1.UnsafeNotificationServiceServer

	deliveries DeliveryStore
	workers    []*worker
	trail      *trail.Trail
	log        *slog.Logger
}

// ListNotifications implements NotificationService. Callers see what was sent to them, and have no way to ask for anything
// else.
func (s *Service) ListNotifications(ctx context.Context, req *notificationv1.ListNotificationsRequest) (
	*notificationv1.ListNotificationsResponse, error,
) {
	const list page.List = "notifications"
	before := ""
	key, err := list.After(req.GetPageToken(), 1)
	if err != nil {
		return nil, err
	}
	if key != nil {
		before = key[0]
	}
	size := page.Size(req.GetPageSize())
	deliveries, err := s.deliveries.DeliveriesTo(ctx, mesh.Caller(ctx).Subject, before, size+1)
	if sqldb.IsUnavailable(err) {
		s.log.ErrorContext(ctx, "the database cannot be reached", "request_id", mesh.RequestID(ctx), "error", err)
		return nil, mesh.Unavailable("the database")
	}
	if err != nil {
		return nil, err
	}
	deliveries, next := page.Cut(list, deliveries, size, func(d Delivery) []string { return []string{d.ID} })
	answer := &notificationv1.ListNotificationsResponse{NextPageToken: next}
	for _, d := range deliveries {
		answer.Notifications = append(answer.Notifications, notificationProto(d))
	}
	return answer, nil
}
