package cli

import "testing"

func TestHeadingsAreWords(t *testing.T) {
	for member, want := range map[string]string{
		"id": "ID", "name": "NAME", "clientSecret": "CLIENT SECRET", "createTime": "CREATED", "expireTime": "EXPIRES",
		"lastUseTime": "LAST USED", "authTime": "SIGNED IN", "userAgent": "BROWSER", "redirectUris": "REDIRECT URIS",
	} {
		if got := heading(member); got != want {
			t.Errorf("%s is %s, not %s", member, got, want)
		}
	}
}
