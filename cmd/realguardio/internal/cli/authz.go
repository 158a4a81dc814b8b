package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/realguardio/realguardio/cmd/realguardio/internal/settings"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/rulebook"
)

func newAuthz(w World) *cobra.Command {
	authz := &cobra.Command{Use: "authz", Short: "Show who may call what, and explain why somebody may or may not"}
	authz.AddCommand(newAuthzMatrix(w), newAuthzExplain(w))
	return authz
}

// matrixFilter says which rules are listed. What is empty leaves nothing out.
type matrixFilter struct {
	service, kind, role, scope string
	edge                       bool
}

func (f *matrixFilter) declare(s *settings.Set) {
	f.kind = "any"
	s.String(&f.service, "service", "only of services whose name has this in it, such as customer")
	s.String(&f.kind, "kind", "only what admits this kind of caller: user, client or workload; anyone: what is open without a credential", settings.OneOf("any", "user", "client", "workload", "anyone"))
	s.String(&f.role, "role", "only what names this role")
	s.String(&f.scope, "scope", "only what names this scope")
	s.Bool(&f.edge, "edge", "only what can be reached from outside")
}

func (f matrixFilter) lists(e rulebook.Entry) bool {
	kind := f.kind == "any" || f.kind == "anyone" && e.Public || slices.Contains(e.Callers, mesh.Kind(f.kind))
	return kind && strings.Contains(strings.ToLower(e.Service()), strings.ToLower(f.service)) &&
		(f.role == "" || slices.Contains(e.AnyRole, f.role)) &&
		(f.scope == "" || slices.Contains(e.AllScopes, f.scope)) &&
		(!f.edge || e.Edge)
}

func newAuthzMatrix(w World) *cobra.Command {
	var filter matrixFilter
	var out output
	c := &cobra.Command{
		Use:   "matrix",
		Short: "List every RPC with its rule, from the descriptors in this binary",
		Long: `List every RPC with what it demands of its caller. Nothing is asked of anybody: it is what the services of this binary enforce.
Objects are decided in addition, by the service that owns them: see realguardio authz explain.`,
		Example: `  realguardio authz matrix --kind client --edge
  realguardio authz matrix --scope securitysystem.arm -o json`,
	}
	declare := func(s *settings.Set) {
		out.declare(s)
		filter.declare(s)
	}
	return command(w, c, "", declare, func(c *cobra.Command, _ []string) error {
		entries, err := rulebook.Read(linkedServices()...)
		if err != nil {
			return err
		}
		entries = slices.DeleteFunc(entries, func(e rulebook.Entry) bool { return !filter.lists(e) })
		if out.format == "json" {
			return printJSON(c.OutOrStdout(), entries)
		}
		return printMatrix(c.OutOrStdout(), entries)
	})
}

func printMatrix(to io.Writer, entries []rulebook.Entry) error {
	table := tabwriter.NewWriter(to, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "SERVICE\tRPC\tCALLERS\tROLES\tSCOPES\tMARKS\tREST")
	for _, e := range entries {
		callers := make([]any, len(e.Callers))
		for i, kind := range e.Callers {
			callers[i] = string(kind)
			if kind == mesh.KindWorkload {
				callers[i] = "workload:" + strings.Join(e.Workloads, ",")
			}
		}
		if e.Public {
			callers = []any{"anyone"}
		}
		cells := []string{
			e.Service()[strings.LastIndexByte(e.Service(), '.')+1:], e.Name(), cell(callers),
			strings.Join(e.AnyRole, " "), strings.Join(e.AllScopes, " "), strings.Join(marks(e), " "), e.Route,
		}
		for i := range cells {
			if cells[i] == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	return table.Flush()
}

// marks are what a rule says in one word.
func marks(e rulebook.Entry) []string {
	var words []string
	for _, mark := range []struct {
		so   bool
		word string
	}{
		{e.Edge, "edge"}, {e.Sensitive, "sensitive"}, {e.Streaming, "stream"},
		{e.MaxAgeSeconds > 0, fmt.Sprintf("max_age=%gs", e.MaxAgeSeconds)}, {e.ACR != "", "acr=" + e.ACR},
	} {
		if mark.so {
			words = append(words, mark.word)
		}
	}
	return words
}

// linkedServices are the services of RealGuardIO in this binary.
func linkedServices() []protoreflect.ServiceDescriptor {
	var services []protoreflect.ServiceDescriptor
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if strings.HasPrefix(string(file.Package()), "realguardio.") {
			for i := range file.Services().Len() {
				services = append(services, file.Services().Get(i))
			}
		}
		return true
	})
	return services
}
