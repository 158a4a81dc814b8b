package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/authority"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/keyfile"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
)

func newKeys(w World) *cobra.Command {
	keys := &cobra.Command{Use: "keys", Short: "Make the key files that protect data at rest; list, rotate and revoke the keys that tokens are signed with"}
	generate := &cobra.Command{
		Use:   "generate FILE...",
		Short: "Write a new random key into each file (32 bytes in base64, mode 0600); a file that exists is left as it is",
		Args:  cobra.MinimumNArgs(1),
	}
	keys.AddCommand(command(w, generate, "", func(*settings.Set) {}, func(c *cobra.Command, args []string) error {
		var all error
		for _, path := range args {
			if err := keyfile.Generate(path, rand.Reader); err != nil {
				all = errors.Join(all, err)
				continue
			}
			fmt.Fprintln(c.OutOrStdout(), path)
		}
		return all
	}), newKeysList(w), newKeysRotate(w), newKeysRevoke(w))
	return keys
}

func newCerts(w World) *cobra.Command {
	var out string
	var hosts, parts []string
	c := &cobra.Command{
		Use:   "certs",
		Short: "Make a development certificate authority and a certificate for each part",
		Long: `Make a certificate authority and a certificate for each part, so that the parts can be started as separate processes
without a public key infrastructure at hand. The folder keeps the authority's private key: for development and tests only.

A certificate is valid for localhost, the loopback addresses, the part's own name and every --host, and names the part
in its URI: spiffe://realguardio/<part>. Run again, it keeps what is still good.`,
	}
	declare := func(s *settings.Set) {
		out = "certs"
		parts = append([]string{"client"}, partNames...)
		s.String(&out, "out-dir", "folder for ca.pem, <part>.pem and <part>-key.pem", settings.Required)
		s.Strings(&hosts, "host", "further DNS name or address the certificates are valid for")
		s.Strings(&parts, "part", "for whom to make certificates", labels)
	}
	return command(w, c, "", declare, func(c *cobra.Command, _ []string) error {
		ca, err := authority.Open(out, time.Now)
		if err != nil {
			return err
		}
		fmt.Fprintln(c.OutOrStdout(), ca.CAFile())
		for _, part := range parts {
			files, err := ca.Issue(part, hosts...)
			if err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), files.Cert)
		}
		return nil
	})
}

// label is what fits a DNS name, a file name and a SPIFFE id alike.
var label = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// labels checks a list of them, as it stands in a setting.
func labels(list string) error {
	for one := range strings.SplitSeq(list, ",") {
		if !label.MatchString(one) {
			return fmt.Errorf("%q must be lower-case letters, digits and hyphens", one)
		}
	}
	return nil
}
