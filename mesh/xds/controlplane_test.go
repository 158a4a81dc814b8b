package xds_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	managerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// controlPlane is one that sends the calls of each name to one address. There is one in the process, since grpc asks the
// same one for as long as the process lives.
type controlPlane struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer

	mu       sync.Mutex
	routes   map[string]string
	changed  chan struct{}
	runs     int
	problems []error
}

// runControlPlane serves one while run runs, after writing the bootstrap file that names it. An error is what went wrong in
// the control plane itself.
func runControlPlane(bootstrap string, run func(*controlPlane) int) (code int, err error) {
	c := &controlPlane{routes: map[string]string{}, changed: make(chan struct{})}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 1, err
	}
	server := grpc.NewServer()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(server, c)
	done := make(chan error, 1)
	go func() { done <- server.Serve(lis) }()
	defer func() {
		server.Stop()
		err = errors.Join(err, <-done, errors.Join(c.problems...))
	}()
	content, err := json.Marshal(map[string]any{
		"xds_servers": []any{map[string]any{
			"server_uri": lis.Addr().String(), "channel_creds": []any{map[string]any{"type": "insecure"}}, "server_features": []string{"xds_v3"},
		}},
		"node": map[string]any{"id": "test"},
	})
	if err != nil {
		return 1, err
	}
	if err := os.WriteFile(bootstrap, content, 0o600); err != nil {
		return 1, err
	}
	return run(c), nil
}

// names returns how one run of a test calls a part: grpc may not yet have forgotten the routes of the run before.
func (c *controlPlane) names() func(part string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runs++
	suffix := "-" + strconv.Itoa(c.runs)
	return func(part string) string { return part + suffix }
}

func (c *controlPlane) route(name, addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.routes[name] = addr
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *controlPlane) failed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.problems = append(c.problems, err)
}

func (c *controlPlane) state(name string) (addr string, changed chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.routes[name], c.changed
}

// StreamAggregatedResources answers each question when it is asked first, and again when a route has changed.
func (c *controlPlane) StreamAggregatedResources(stream discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	requests := make(chan *discoveryv3.DiscoveryRequest)
	go func() { // ends with the stream
		defer close(requests)
		for {
			request, err := stream.Recv()
			if err != nil {
				return
			}
			select {
			case requests <- request:
			case <-stream.Context().Done():
				return
			}
		}
	}()
	asked, version := map[string][]string{}, 0
	for {
		_, changed := c.state("")
		select {
		case request, more := <-requests:
			if !more {
				return nil
			}
			if request.GetErrorDetail() != nil {
				c.failed(fmt.Errorf("refused: %v", request.GetErrorDetail()))
			}
			if fmt.Sprint(asked[request.GetTypeUrl()]) == fmt.Sprint(request.GetResourceNames()) {
				continue // an acknowledgement
			}
			asked[request.GetTypeUrl()] = request.GetResourceNames()
			version++
			if err := c.send(stream, request.GetTypeUrl(), request.GetResourceNames(), version); err != nil {
				return err
			}
		case <-changed:
			for typeURL, names := range asked {
				version++
				if err := c.send(stream, typeURL, names, version); err != nil {
					return err
				}
			}
		}
	}
}

func (c *controlPlane) send(stream discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer, typeURL string, names []string, version int) error {
	response := &discoveryv3.DiscoveryResponse{TypeUrl: typeURL, VersionInfo: strconv.Itoa(version), Nonce: strconv.Itoa(version)}
	for _, name := range names {
		addr, _ := c.state(name)
		made := map[string]func(name, addr string) proto.Message{
			"type.googleapis.com/envoy.config.listener.v3.Listener":              c.listener,
			"type.googleapis.com/envoy.config.cluster.v3.Cluster":                c.cluster,
			"type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment": c.endpoints,
		}[typeURL]
		if made == nil {
			c.failed(fmt.Errorf("asked for %s", typeURL))
			continue
		}
		response.Resources = append(response.Resources, c.any(made(name, addr)))
	}
	return stream.Send(response)
}

func (c *controlPlane) any(m proto.Message) *anypb.Any {
	packed, err := anypb.New(m)
	if err != nil {
		c.failed(err)
	}
	return packed
}

func (c *controlPlane) listener(name, _ string) proto.Message {
	manager := &managerv3.HttpConnectionManager{
		RouteSpecifier: &managerv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{
			Name: name,
			VirtualHosts: []*routev3.VirtualHost{{Name: name, Domains: []string{"*"}, Routes: []*routev3.Route{{
				Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: ""}},
				Action: &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: name}}},
			}}}},
		}},
		HttpFilters: []*managerv3.HttpFilter{{
			Name: "router", ConfigType: &managerv3.HttpFilter_TypedConfig{TypedConfig: c.any(&routerv3.Router{})},
		}},
	}
	return &listenerv3.Listener{Name: name, ApiListener: &listenerv3.ApiListener{ApiListener: c.any(manager)}}
}

func (c *controlPlane) cluster(name, _ string) proto.Message {
	return &clusterv3.Cluster{
		Name:                 name,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:     &clusterv3.Cluster_EdsClusterConfig{EdsConfig: &corev3.ConfigSource{ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}}}},
		LbPolicy:             clusterv3.Cluster_ROUND_ROBIN,
	}
}

func (c *controlPlane) endpoints(name, addr string) proto.Message {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		c.failed(err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		c.failed(err)
	}
	address := &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: host, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(number)},
	}}}
	return &endpointv3.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{{
		Locality: &corev3.Locality{Region: "here"}, LoadBalancingWeight: wrapperspb.UInt32(1),
		LbEndpoints: []*endpointv3.LbEndpoint{{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: address}},
		}},
	}}}
}
