package bench

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/realguardio/realguardio/services/database"
	"github.com/realguardio/realguardio/services/token"
)

const (
	benchCallback = "https://bench.example.com/callback"
	benchVerifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	// storedGrants is how many there are when their size is taken.
	storedGrants = 100_000
)

// engines are the databases, each empty. renewals is how many of them there must be for one bare update: where an update
// costs least, what is around it weighs most.
var engines = []struct {
	name     string
	start    func(*testing.B) string
	renewals float64
}{
	{"SQLite", sqlite, 0.15},
	{"PostgreSQL", startPostgres, 0.08},
}

func sqlite(b *testing.B) string { return "sqlite://" + filepath.Join(b.TempDir(), "token.db") }

// BenchmarkRefresh compares renewals, each of which rotates its token durably, with the least that a durable write costs:
// an UPDATE of one row by its key, committed by itself, on the same database by the same driver and as many at once.
func BenchmarkRefresh(b *testing.B) {
	for _, engine := range engines {
		b.Run(engine.name, func(b *testing.B) {
			address := engine.start(b)
			s := startTokenServer(b, address)
			person := s.signIn(b)
			families := make([]tokens, *concurrency)
			for i := range families {
				families[i] = person.grant(b)
			}
			var costs, rates []float64
			cost := s.cost(*concurrency, &rates, func(ctx context.Context, n int) (err error) {
				family := &families[n%len(families)] // throughput gives each worker its own
				*family, err = person.redeem(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {family.Refresh}})
				return err
			})
			ours := func(ctx context.Context) (float64, error) {
				spent, err := cost(ctx)
				costs = append(costs, spent)
				return rates[len(rates)-1], err
			}
			compare(b, "a second", ours, bareUpdates(b, address), fmt.Sprintf("at least %g at the lower end", engine.renewals), atLeast(engine.renewals))
			b.Logf("median %.0f renewals/s, %.0f µs of the server's CPU each", middle(rates), 1e6*middle(costs))
		})
	}
}

// bareUpdates counts single-row updates.
func bareUpdates(b *testing.B, address string) side {
	db, err := database.Open(b.Context(), address)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	exec := func(ctx context.Context, query string, args ...any) error {
		_, err := db.Exec(ctx, query, args...)
		return err
	}
	if err := exec(b.Context(), `CREATE TABLE bare (id BIGINT PRIMARY KEY, n BIGINT NOT NULL)`); err != nil {
		b.Fatal(err)
	}
	for i := range *concurrency {
		if err := exec(b.Context(), `INSERT INTO bare (id, n) VALUES ($1, 0)`, i); err != nil {
			b.Fatal(err)
		}
	}
	return func(ctx context.Context) (float64, error) {
		return throughput(ctx, *concurrency, *turn, func(ctx context.Context, n int) error {
			return exec(ctx, `UPDATE bare SET n = n + 1 WHERE id = $1`, n%*concurrency)
		})
	}
}

// BenchmarkIntrospection compares the server's CPU for an introspection, which looks the revocations up, with one ES256
// signature by jwx: an introspection makes none, and verifies one.
func BenchmarkIntrospection(b *testing.B) {
	s := startTokenServer(b, sqlite(b))
	person := s.signIn(b)
	access := person.grant(b).Access
	var rates []float64
	ours := s.cost(*concurrency, &rates, func(ctx context.Context, _ int) error {
		body, err := person.post(ctx, "/oauth2/introspect", url.Values{"token": {access}})
		if err == nil && !strings.Contains(string(body), `"active":true`) {
			err = fmt.Errorf("introspection: %s", body)
		}
		return err
	})
	compare(b, "CPU s", ours, jwxSignature(b), "at most 5 at the upper end", atMost(5))
	b.Logf("median %.0f introspections/s", middle(rates))
}

// BenchmarkCodeFlow compares the server's CPU for an authorization by somebody who is signed in, and the redemption of its
// code for an ID, an access and a refresh token, with one ES256 signature by jwx; it makes two itself.
func BenchmarkCodeFlow(b *testing.B) {
	for _, engine := range engines {
		b.Run(engine.name, func(b *testing.B) {
			s := startTokenServer(b, engine.start(b))
			person := s.signIn(b)
			var rates []float64
			ours := s.cost(*concurrency, &rates, func(ctx context.Context, _ int) error {
				_, err := person.authorize(ctx)
				return err
			})
			compare(b, "CPU s", ours, jwxSignature(b), "at most 25 at the upper end", atMost(25))
			b.Logf("median %.0f flows/s", middle(rates))
		})
	}
}

// BenchmarkStoredGrants prints what a hundred thousand grants take: on disk, with a login session each, and of the memory
// of the server that renews some of them.
func BenchmarkStoredGrants(b *testing.B) {
	for _, engine := range engines {
		b.Run(engine.name, func(b *testing.B) {
			address := engine.start(b)
			s := startTokenServer(b, address)
			person := s.signIn(b)
			family := person.grant(b)
			db, err := database.Open(b.Context(), address)
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			empty, resident := onDisk(b, db, address), residentKiB(b, s.pid)
			for _, table := range []string{"sessions", "grants"} {
				multiply(b, db, table)
			}
			b.Logf("%d grants and sessions: %.1f MB on disk", storedGrants, float64(onDisk(b, db, address)-empty)/1e6)
			for range 200 {
				if family, err = person.redeem(b.Context(), url.Values{"grant_type": {"refresh_token"}, "refresh_token": {family.Refresh}}); err != nil {
					b.Fatal(err)
				}
			}
			b.Logf("the server's memory: %.1f MB before, %.1f MB with them", float64(resident)/1e3, float64(residentKiB(b, s.pid))/1e3)
			b.ReportMetric(0, "ns/op")
		})
	}
}

// multiply makes a hundred thousand rows of the one that a table has: what is unique in it, or another row's, differs.
func multiply(b *testing.B, db *database.DB, table string) {
	rows, err := db.Query(b.Context(), `SELECT * FROM `+table+` LIMIT 1`)
	if err != nil {
		b.Fatal(err)
	}
	columns, err := rows.Columns()
	_ = rows.Close()
	if err != nil {
		b.Fatal(err)
	}
	var values []string
	for _, column := range columns {
		switch column {
		case "id", "session_id", "cookie_hash":
			values = append(values, `substr(`+column+`, 1, length(`+column+`) - 9) || (100000000 + i)`)
		default:
			values = append(values, column)
		}
	}
	if _, err := db.Exec(b.Context(), `INSERT INTO `+table+` (`+strings.Join(columns, ", ")+`)
		SELECT `+strings.Join(values, ", ")+` FROM (SELECT * FROM `+table+` LIMIT 1) AS one,
			(WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) SELECT i FROM n) AS numbers`, storedGrants); err != nil {
		b.Fatal(err)
	}
}

// onDisk is the size of the database in bytes.
func onDisk(b *testing.B, db *database.DB, address string) (size int64) {
	query := `SELECT pg_database_size(current_database())`
	if strings.HasPrefix(address, "sqlite:") {
		query = `SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()`
	}
	if err := db.QueryRow(b.Context(), query).Scan(&size); err != nil {
		b.Fatal(err)
	}
	return size
}

// residentKiB is how much memory a process has (proc(5)).
func residentKiB(b *testing.B, pid int) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	n, err := strconv.Atoi(find(b, string(status), `VmRSS:\s+(\d+)`))
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// person is somebody who is signed in, and the application that they use.
type person struct {
	*tokenServer
	client *http.Client
	cookie string
}

// tokens are what a grant gives.
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
}

func (s *tokenServer) authorizationURL() string {
	challenge := sha256.Sum256([]byte(benchVerifier))
	return s.url + "/oauth2/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {benchClient}, "redirect_uri": {benchCallback}, "scope": {"openid profile securitysystem.read"},
		"nonce": {"n"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}.Encode()
}

// signIn goes through the login page.
func (s *tokenServer) signIn(b *testing.B) *person {
	jar, _ := cookiejar.New(nil)
	browser := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), benchCallback) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	login := page(b, browser, s.authorizationURL(), nil)
	page(b, browser, s.url+"/login", url.Values{
		"tx": {find(b, login, `name="tx" value="([^"]+)"`)}, "username": {"alice@acme.example"}, "password": {token.DemoPassword},
	})
	at, _ := url.Parse(s.url)
	var cookies []string
	for _, c := range jar.Cookies(at) {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	return &person{s, &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: *concurrency}, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}, strings.Join(cookies, "; ")}
}

var codeInLocation = regexp.MustCompile(`[?&]code=([^&]+)`)

// authorize is a whole code flow.
func (p *person) authorize(ctx context.Context) (tokens, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.authorizationURL(), nil)
	if err != nil {
		return tokens{}, err
	}
	req.Header.Set("Cookie", p.cookie)
	resp, err := p.client.Do(req)
	if err != nil {
		return tokens{}, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	code := codeInLocation.FindStringSubmatch(resp.Header.Get("Location"))
	if code == nil {
		return tokens{}, fmt.Errorf("authorization: %s to %s", resp.Status, resp.Header.Get("Location"))
	}
	return p.redeem(ctx, url.Values{"grant_type": {"authorization_code"}, "code": {code[1]}, "redirect_uri": {benchCallback}, "code_verifier": {benchVerifier}})
}

func (p *person) grant(b *testing.B) tokens {
	t, err := p.authorize(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return t
}

func (p *person) redeem(ctx context.Context, form url.Values) (t tokens, err error) {
	body, err := p.post(ctx, "/oauth2/token", form)
	if err == nil {
		err = json.Unmarshal(body, &t)
	}
	return t, err
}

func (p *person) post(ctx context.Context, path string, form url.Values) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(benchClient, benchClientSecret)
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, resp.Status, body)
	}
	return body, err
}
