package token_test

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	tokenv1 "github.com/realguardio/realguardio/gen/go/realguardio/token/v1"
	"github.com/realguardio/realguardio/mesh/meshtest"
)

func TestPeopleChangeTheirOwnPassword(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		d := withMail(t, st)
		b := d.boss()
		mine, here := b.open(alice, alicePassword)
		elsewhere := d.browser()
		other := elsewhere.redeem()
		as := meshtest.As(t.Context(), mine.str("access_token"))
		change := func(current, next string) error {
			_, err := b.self.ChangePassword(as, &tokenv1.ChangePasswordRequest{CurrentPassword: current, NewPassword: d.logs.secret(next)})
			return err
		}
		refuses(t, change("wrong", chosen), codes.InvalidArgument, "currentPassword")
		refuses(t, change(alicePassword, "too short"), codes.InvalidArgument, "at least 15")
		refuses(t, change(alicePassword, "passwordpassword"), codes.InvalidArgument, "most common")
		if !here.signedIn() || !elsewhere.signedIn() || !d.accepted(mine.str("access_token")) {
			t.Error("a refusal ended something")
		}
		if err := change(alicePassword, chosen); err != nil {
			t.Fatal(err)
		}
		b.ends(t, mine.str("access_token"))
		b.ends(t, other.str("access_token"))
		if !here.signedIn() || elsewhere.signedIn() {
			t.Error("signed in here, elsewhere:", here.signedIn(), elsewhere.signedIn())
		}
		refused(t, d.refresh(other.str("refresh_token")), 400, "invalid_grant")
		again := d.post("/oauth2/token", "account", webSecret, map[string][]string{"grant_type": {"refresh_token"}, "refresh_token": {mine.str("refresh_token")}})
		if again.status != http.StatusOK {
			t.Fatalf("%d %s", again.status, again.body)
		}
		if l := d.letter(alice, 1); l.Subject() != "Your password was changed" {
			t.Errorf("%s", l.Subject())
		}
		t.Run("guesses are counted as at the login page", func(t *testing.T) {
			as := meshtest.As(t.Context(), again.str("access_token"))
			for i := range 11 {
				_, err := b.self.ChangePassword(as, &tokenv1.ChangePasswordRequest{CurrentPassword: "a guess", NewPassword: "another tuba eight lamp"})
				want := codes.InvalidArgument
				if i == 10 {
					want = codes.ResourceExhausted
				}
				refuses(t, err, want, "")
			}
			_, err := b.self.ChangePassword(as, &tokenv1.ChangePasswordRequest{CurrentPassword: chosen, NewPassword: "another tuba eight lamp"})
			refuses(t, err, codes.ResourceExhausted, "TOO_MANY_ATTEMPTS")
			if page := d.browser().login(asks("web", webCallback), alice, chosen); page.status != http.StatusSeeOther {
				t.Errorf("who holds a token keeps alice from signing in: %d", page.status)
			}
		})
	})
}

func TestPeopleChangeTheirOwnAddress(t *testing.T) {
	eachStore(t, func(t *testing.T, st stores) {
		d := withMail(t, st)
		b := d.boss()
		d.user("bob@foo.example", "another long password")
		tokens, _ := b.open(alice, alicePassword)
		as := meshtest.As(t.Context(), tokens.str("access_token"))
		const moved = "alice@elsewhere.example"
		_, err := b.self.ChangeEmail(as, &tokenv1.ChangeEmailRequest{Email: moved, CurrentPassword: "wrong"})
		refuses(t, err, codes.InvalidArgument, "currentPassword")
		if _, err := b.self.ChangeEmail(as, &tokenv1.ChangeEmailRequest{Email: moved, CurrentPassword: alicePassword}); err != nil {
			t.Fatal(err)
		}
		if l := d.letter(alice, 1); l.Subject() != "Another e-mail address was asked for" || linkForm.MatchString(l.Text) {
			t.Errorf("%s", l.Text)
		}
		path, _ := d.link(d.letter(moved, 1))
		if me, err := b.self.GetMe(as, &tokenv1.GetMeRequest{}); err != nil || me.GetUser().GetEmail() != alice {
			t.Errorf("changed before it was confirmed: %v, %v", me, err)
		}
		at := d.browser()
		page := at.open(path)
		if !strings.Contains(page.body, moved) || !strings.Contains(page.body, "that of <b>Alice</b>") || page.header.Get("Referrer-Policy") != "strict-origin" {
			t.Errorf("%s", page.body)
		}
		for i, want := range []int{200, 400} {
			if done := at.submit("/verify", page.form()); done.status != want {
				t.Errorf("time %d: %d %s", i+1, done.status, done.body)
			}
		}
		me, err := b.self.GetMe(as, &tokenv1.GetMeRequest{})
		if err != nil || me.GetUser().GetEmail() != moved || !me.GetUser().GetEmailVerified() || me.GetUser().GetId() != claimsOf(t, tokens.str("access_token"))["sub"] {
			t.Errorf("%v, %v", me, err)
		}
		if l := d.letter(alice, 2); l.Subject() != "Your e-mail address was changed" {
			t.Errorf("%s", l.Subject())
		}
		t.Run("to one that is taken, which shows only to who reads it", func(t *testing.T) {
			if _, err := b.self.ChangeEmail(as, &tokenv1.ChangeEmailRequest{Email: "bob@foo.example", CurrentPassword: alicePassword}); err != nil {
				t.Fatal(err)
			}
			path, _ := d.link(d.letter("bob@foo.example", 1))
			if done := at.submit("/verify", at.open(path).form()); done.status != 409 {
				t.Errorf("%d %s", done.status, done.body)
			}
			if me, err := b.self.GetMe(as, &tokenv1.GetMeRequest{}); err != nil || me.GetUser().GetEmail() != moved {
				t.Errorf("%v, %v", me, err)
			}
		})
		t.Run("verifying what is verified sends nothing", func(t *testing.T) {
			d.settled()
			before := len(d.office.Taken())
			if _, err := b.self.VerifyEmail(as, &tokenv1.VerifyEmailRequest{}); err != nil {
				t.Fatal(err)
			}
			d.settled()
			if after := len(d.office.Taken()); after != before {
				t.Errorf("%d letters, then %d", before, after)
			}
		})
		t.Run("an address is verified by a link to it", func(t *testing.T) {
			if _, err := d.db.Exec(t.Context(), `UPDATE users SET email_verified = FALSE WHERE email_key = $1`, moved); err != nil {
				t.Fatal(err)
			}
			if _, err := b.self.VerifyEmail(as, &tokenv1.VerifyEmailRequest{}); err != nil {
				t.Fatal(err)
			}
			path, _ := d.link(d.letter(moved, 3))
			if done := at.submit("/verify", at.open(path).form()); done.status != 200 {
				t.Errorf("%d %s", done.status, done.body)
			}
			if me, err := b.self.GetMe(as, &tokenv1.GetMeRequest{}); err != nil || !me.GetUser().GetEmailVerified() {
				t.Errorf("%v, %v", me, err)
			}
		})
	})
}

func TestPeopleChangeWhatIsKnownOfThem(t *testing.T) {
	oneStore(t, func(t *testing.T, st stores) {
		s := start(t, st)
		b := s.boss()
		as := b.call(t.Context(), alice, alicePassword)
		full := &tokenv1.User{Name: "Alice Liddell", GivenName: "Alice", FamilyName: "Liddell", Locale: "en-GB", Zoneinfo: "Europe/London",
			PhoneNumber: "+442071234567", Address: &tokenv1.Address{Formatted: "1 Long Walk\nOxford", Country: "GB"}}
		got, err := b.self.UpdateMe(as, &tokenv1.UpdateMeRequest{User: full})
		if err != nil || got.GetUser().GetFamilyName() != "Liddell" || got.GetUser().GetAddress().GetCountry() != "GB" || got.GetUser().GetEmail() != alice {
			t.Fatalf("%v, %v", got, err)
		}
		got, err = b.self.UpdateMe(as, &tokenv1.UpdateMeRequest{User: &tokenv1.User{}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"phone_number"}}})
		if err != nil || got.GetUser().GetPhoneNumber() != "" || got.GetUser().GetName() != "Alice Liddell" {
			t.Errorf("%v, %v", got, err)
		}
		for name, tt := range map[string]struct {
			user *tokenv1.User
			mask []string
			code codes.Code
		}{
			"verifying one's address":  {&tokenv1.User{EmailVerified: true}, []string{"email_verified"}, codes.PermissionDenied},
			"the same without a mask":  {&tokenv1.User{EmailVerified: true}, nil, codes.PermissionDenied},
			"another address":          {&tokenv1.User{Email: "x@y.example"}, []string{"email"}, codes.PermissionDenied},
			"more roles":               {&tokenv1.User{Roles: []string{"REALGUARDIO_ADMIN"}}, []string{"name", "roles"}, codes.PermissionDenied},
			"another id":               {&tokenv1.User{Id: "usr_1"}, nil, codes.PermissionDenied},
			"no field":                 {&tokenv1.User{}, []string{"password_hash"}, codes.InvalidArgument},
			"no name":                  {&tokenv1.User{}, []string{"name"}, codes.InvalidArgument},
			"a name turned around":     {&tokenv1.User{GivenName: "A\u202eB"}, nil, codes.InvalidArgument},
			"no language":              {&tokenv1.User{Locale: "en_GB"}, nil, codes.InvalidArgument},
			"no time zone":             {&tokenv1.User{Zoneinfo: "Mars/Olympus"}, nil, codes.InvalidArgument},
			"a path as a time zone":    {&tokenv1.User{Zoneinfo: "../../etc/passwd"}, nil, codes.InvalidArgument},
			"this machine's time zone": {&tokenv1.User{Zoneinfo: "Local"}, nil, codes.InvalidArgument},
			"no telephone":             {&tokenv1.User{PhoneNumber: "555-0123"}, nil, codes.InvalidArgument},
			"an odd address":           {&tokenv1.User{Address: &tokenv1.Address{Locality: "Ox\x07ford"}}, nil, codes.InvalidArgument},
		} {
			_, err := b.self.UpdateMe(as, &tokenv1.UpdateMeRequest{User: tt.user, UpdateMask: &fieldmaskpb.FieldMask{Paths: tt.mask}})
			if status.Code(err) != tt.code {
				t.Errorf("%s: %v", name, err)
			}
		}
		me, err := b.self.GetMe(as, &tokenv1.GetMeRequest{})
		if err != nil || me.GetUser().GetName() != "Alice Liddell" || len(me.GetUser().GetRoles()) != 1 {
			t.Errorf("%v, %v", me, err)
		}
	})
}
