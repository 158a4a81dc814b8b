package notification

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	notificationv1 "github.com/realguardio/realguardio/gen/go/realguardio/notification/v1"
)

// The names in the contract are those of the domain.
func notificationProto(d Delivery) *notificationv1.Notification {
	n := &notificationv1.Notification{
		Id: d.ID, EventId: d.EventID, Channel: notificationv1.Channel(notificationv1.Channel_value[string(d.Channel)]),
		Subject: d.Subject, State: notificationv1.DeliveryState(notificationv1.DeliveryState_value[string(d.State)]),
		Attempts: int32(d.Attempts), CreateTime: timestamppb.New(d.CreateTime), // bounded by Retry.Attempts
	}
	if !d.SentTime.IsZero() {
		n.SentTime = timestamppb.New(d.SentTime)
	}
	return n
}
