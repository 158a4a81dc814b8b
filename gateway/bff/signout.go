package bff

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/realguardio/realguardio/gateway/relyingparty"
	"github.com/realguardio/realguardio/gateway/session"
	"github.com/realguardio/realguardio/gateway/vault"
	"github.com/realguardio/realguardio/mesh"
)

// providerTimeout bounds what a sign-out waits for the identity provider.
const providerTimeout = 5 * time.Second

// SignOut ends the session here and at the identity provider. Here it ends for certain, or the answer is 503 and it has
// not; a provider that cannot be reached does not keep a person signed in.
func (b *Routes) SignOut(w http.ResponseWriter, r *http.Request) {
	form, err := readForm(w, r)
	if err == nil {
		err = b.Proven(r, form.Get("csrfToken"))
	}
	if err != nil {
		b.Problems.Write(w, r, err)
		return
	}
	id, _ := b.Cookies.Session(r) // Proven has seen it
	then := b.local(form.Get("callbackUrl"))
	s, err := b.Sessions.End(r.Context(), id)
	if err != nil && !errors.Is(err, session.ErrNone) {
		b.Problems.Write(w, r, Refusal(err))
		return
	}
	if s != nil {
		if visit := b.endAtProvider(r.Context(), s); visit != "" {
			then = visit
		}
	}
	b.Cookies.remove(w, sessionCookie)
	b.Cookies.remove(w, csrfCookie)
	sendTo(w, r, form, then)
}

// endAtProvider revokes the session's tokens and ends the login session there. It returns where the browser has to go
// when the provider wants to see it for that.
func (b *Routes) endAtProvider(ctx context.Context, s *session.Session) (visit string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), providerTimeout)
	defer cancel()
	var both sync.WaitGroup
	both.Go(func() {
		if err := b.Provider.Revoke(ctx, s.Refresh); err != nil {
			b.Logger.WarnContext(ctx, "the tokens of an ended session could not be revoked", "error", err)
		}
	})
	both.Go(func() {
		to, err := b.Provider.EndSession(ctx, s.IDToken)
		if err != nil {
			b.Logger.WarnContext(ctx, "the provider's session could not be ended", "error", err)
			return
		}
		visit = to
	})
	both.Wait()
	return visit
}

// BackchannelLogoutPath is where the identity provider tells of sign-outs elsewhere.
const BackchannelLogoutPath = "/api/auth/backchannel-logout"

// BackchannelLogout ends the sessions that the identity provider says are over (OpenID Connect Back-Channel Logout). It
// comes from the provider itself: what proves it is the token, once.
func (b *Routes) BackchannelLogout(w http.ResponseWriter, r *http.Request) {
	form, err := readForm(w, r)
	if err != nil {
		b.Problems.Write(w, r, err)
		return
	}
	var logout relyingparty.Logout
	if len(form["logout_token"]) == 1 {
		logout, err = b.Provider.LogoutToken(r.Context(), form.Get("logout_token"))
	} else {
		err = relyingparty.ErrForged
	}
	if errors.Is(err, relyingparty.ErrNotReady) {
		b.Problems.Write(w, r, Refusal(err))
		return
	}
	if err != nil {
		b.Logger.WarnContext(r.Context(), "a logout token was refused", "error", err)
		b.Problems.Write(w, r, errNoLogout())
		return
	}
	if err := b.endTold(r.Context(), logout); err != nil {
		b.Problems.Write(w, r, err)
		return
	}
	w.WriteHeader(http.StatusOK)
}

func errNoLogout() error {
	return mesh.InvalidField("logout_token", "is not a logout token of the identity provider, or has been used")
}

// endTold ends what a logout token speaks of. Where that fails, the token is good for another try.
func (b *Routes) endTold(ctx context.Context, logout relyingparty.Logout) error {
	key := vault.KeyOf("logout", logout.ID)
	first, err := b.Vault.Once(ctx, key, logout.Expiry.Sub(b.Now()))
	if err != nil {
		return Refusal(err)
	}
	if !first {
		return errNoLogout()
	}
	if err := b.Sessions.EndAll(ctx, logout.Subject, logout.SessionID); err != nil {
		if _, undone := b.Vault.Delete(ctx, key); undone != nil {
			b.Logger.WarnContext(ctx, "a logout token is spent for nothing", "error", undone)
		}
		return Refusal(err)
	}
	return nil
}
