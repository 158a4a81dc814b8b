package telemetry_test

import (
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/mesh/revocation"
	"github.com/realguardio/realguardio/mesh/telemetry"
)

// A part logs JSON lines, and counts its calls and how current its revocations are.
func Example() {
	logger, err := telemetry.NewLogger(os.Stderr, "json", "info")
	if err != nil {
		log.Fatal(err)
	}
	registry := prometheus.NewRegistry() // serve it by promhttp.HandlerFor
	metrics, err := telemetry.New(registry)
	if err != nil {
		log.Fatal(err)
	}
	revocations := revocation.NewSet(revocation.Config{Logger: logger})
	if err := metrics.Revocations(revocations); err != nil {
		log.Fatal(err)
	}
	server := mesh.ServerConfig{Name: "greeter", Revocations: revocations, Logger: logger}
	metrics.Server(&server) // then mesh.NewServer(server)

	families, err := registry.Gather()
	if err != nil {
		log.Fatal(err)
	}
	for _, family := range families {
		if strings.HasPrefix(family.GetName(), "mesh_revocations_") {
			fmt.Println(family.GetName())
		}
	}
	// Output:
	// mesh_revocations_age_seconds
	// mesh_revocations_entries
	// mesh_revocations_lag_seconds
	// mesh_revocations_resyncs_total
}
