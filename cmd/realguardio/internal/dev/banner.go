package dev

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/demo"
	"github.com/realguardio/realguardio/cmd/realguardio/internal/readyfile"
)

// banner tells a person what they can do now. program is how this binary was called, file where its commands find the
// demo, both as they can be pasted into a shell.
func banner(w io.Writer, f readyfile.File, program, file string) {
	fmt.Fprintf(w, "\nRealGuardIO is ready. Open %s\n\n", f.Gateway)
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	if len(f.Users) > 0 {
		fmt.Fprintf(w, "Sign in with one of these, password %s:\n", demo.Password)
		for _, u := range f.Users {
			fmt.Fprintf(table, "  %s\t%s\n", u.Username, u.About)
		}
		table.Flush()
	}
	fmt.Fprintln(w)
	fmt.Fprintf(table, "  API\t%s/api/docs\n  identity provider\t%s\n  gRPC\t%s\n", f.Gateway, f.Issuer, f.GRPC["gateway"])
	fmt.Fprintf(table, "  outbox (mail that would have been sent)\t%s\n", f.Outbox)
	for _, k := range f.APIKeys {
		fmt.Fprintf(table, "  API key of %s\t%s:%s\n", k.Customer, k.Key, k.Secret)
	}
	table.Flush()
	if len(f.APIKeys) > 0 {
		commands(w, f, quote(program), quote(file))
	}
	fmt.Fprintln(w, "\nCtrl-C stops it.")
}

func commands(w io.Writer, f readyfile.File, program, file string) {
	ca := ""
	if strings.HasPrefix(f.Gateway, "https:") {
		ca = "--cacert " + quote(f.CAFile) + " "
	}
	key := f.APIKeys[0]
	fmt.Fprintln(w, "\nTry, in another terminal:")
	fmt.Fprintf(w, "  curl %s-u %s:%s %s/api/securitysystems\n", ca, key.Key, key.Secret, f.Gateway)
	fmt.Fprintf(w, "  curl %s-H \"Authorization: Bearer $(%s access-token --ready-file %s --user mary@acme.example)\" %s/api/securitysystems\n", ca, program, file, f.Gateway)
	fmt.Fprintf(w, "  %s panel alarm --ready-file %s --kind fire && curl %s-H 'Accept: application/json' %s\n", program, file, ca, f.Outbox)
	fmt.Fprintln(w, "\nWith grpcurl, from the source's folder:")
	fmt.Fprintf(w, "  grpcurl -cacert %s -protoset gen/descriptors/realguardio.binpb \\\n", quote(f.CAFile))
	fmt.Fprintf(w, "    -H \"Authorization: Bearer $(%s access-token --ready-file %s --user mary@acme.example)\" \\\n", program, file)
	fmt.Fprintf(w, "    %s realguardio.securitysystem.v1.SecuritySystemService/ListSecuritySystems\n", f.GRPC["gateway"])
}

// quote makes a word of a POSIX shell.
func quote(word string) string {
	if strings.ContainsFunc(word, func(r rune) bool {
		return !strings.ContainsRune("/.-_:@%+=,", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return word
}
