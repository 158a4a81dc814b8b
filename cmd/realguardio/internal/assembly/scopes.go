package assembly

import (
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"

	auditv1 "github.com/realguardio/realguardio/gen/go/realguardio/audit/v1"
	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	notificationv1 "github.com/realguardio/realguardio/gen/go/realguardio/notification/v1"
	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh"
)

// asked are what parts can be asked on behalf of somebody.
var asked = map[string][]protoreflect.FileDescriptor{
	Token:          {tokenv1.File_realguardio_token_v1_admin_proto, auditv1.File_realguardio_audit_v1_audit_proto},
	Customer:       {customerv1.File_realguardio_customer_v1_customer_proto, auditv1.File_realguardio_audit_v1_audit_proto},
	SecuritySystem: {securitysystemv1.File_realguardio_securitysystem_v1_securitysystem_proto, auditv1.File_realguardio_audit_v1_audit_proto},
	Notification:   {notificationv1.File_realguardio_notification_v1_notification_proto, auditv1.File_realguardio_audit_v1_audit_proto},
}

// personal are the scopes by which the identity provider decides what it shows of a person. No rule names them.
var personal = []string{"account.read", "openid", "profile", "email", "address", "phone"}

// ScopesOf returns the scopes that a part looks at: those that its rules demand. Handlers look at others of the same part's
// besides the one that their method demands, so that a token for the part carries all of them.
func ScopesOf(part string) []string {
	var scopes []string
	if part == Token {
		scopes = slices.Clone(personal)
	}
	policies, err := mesh.NewPolicies(services(asked[part])...)
	if err != nil {
		return nil // it would not have started; a test holds that none is so
	}
	for rule := range policies.All() {
		scopes = append(scopes, rule.AllScopes...)
	}
	slices.Sort(scopes)
	return slices.Compact(scopes)
}
