package mesh

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// authInfo is what TLS says about a peer, with the tokens of the connection: those that a server keeps, or those that
// a client has sent. It takes the place of [credentials.TLSInfo] in the peer.Peer of our connections; for what handlers ask
// of that there is [PeerCertificate].
type authInfo struct {
	credentials.TLSInfo
	// certificate is, at a server, the digest of the peer's, as a token that is bound to it says.
	certificate string
	// workload is the name of the peer, where it is a workload of the trust domain.
	workload string
	// kept are, at a server, the tokens that it keeps.
	kept *keptTokens

	// made is, at a client, when the connection was; own what the client has shown, and sent the tokens that it has sent.
	made time.Time
	own  *shown
	sent *sentTokens
}

// tlsOf returns what TLS says about the peer that AuthInfo is of.
func tlsOf(info credentials.AuthInfo) (credentials.TLSInfo, bool) {
	switch info := info.(type) {
	case credentials.TLSInfo:
		return info, true
	case *authInfo:
		return info.TLSInfo, true
	default:
		return credentials.TLSInfo{}, false
	}
}

// referring is transport security of a server whose connections can refer to tokens, and know which workload their peer is.
type referring struct {
	credentials.TransportCredentials
	ids WorkloadIDs
}

func (r referring) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := r.TransportCredentials.ServerHandshake(raw)
	if tls, ok := info.(credentials.TLSInfo); ok && err == nil {
		info = r.ids.accepted(tls)
	}
	return conn, info, err
}

func (r referring) Clone() credentials.TransportCredentials {
	return referring{r.TransportCredentials.Clone(), r.ids}
}

// accepted is what a server knows of a connection.
func (w WorkloadIDs) accepted(tls credentials.TLSInfo) *authInfo {
	info := &authInfo{TLSInfo: tls, certificate: certificateOf(tls), kept: &keptTokens{}}
	if cert, ok := provenCertificate(tls); ok {
		info.workload, _ = w.Name(cert)
	}
	return info
}

// server returns which workload the server of a connection is. The handshake has verified its certificate, or failed.
func (w WorkloadIDs) server(tls credentials.TLSInfo) (name string, ok bool) {
	if len(tls.State.PeerCertificates) == 0 {
		return "", false
	}
	return w.Name(tls.State.PeerCertificates[0])
}

// authInfoOf returns what is known of the connection that an RPC came in by, or nil.
func authInfoOf(ctx context.Context) *authInfo {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	c, _ := p.AuthInfo.(*authInfo)
	return c
}

// certificateOf is the digest of the peer's own certificate, the first that it shows; empty where it shows none.
func certificateOf(info credentials.TLSInfo) string {
	if len(info.State.PeerCertificates) == 0 {
		return ""
	}
	return Thumbprint(info.State.PeerCertificates[0])
}
