package customer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/realguardio/realguardio/services/internal/sqldb"
	"github.com/realguardio/realguardio/services/internal/storetest"
)

var start = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// shelf is a store with two customers, a and b; each has a location, an employee, a team with that employee, and a key,
// named after it: la, ea, ta, ka.
type shelf struct {
	Store
	t *testing.T
}

func eachStore(t *testing.T, test func(t *testing.T, s shelf)) {
	storetest.Each(t, func(t *testing.T, open func() *sqldb.DB) {
		db := open()
		if err := Migrate(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		s := shelf{newSQLStore(db), t}
		for _, c := range []string{"a", "b"} {
			s.ok(s.AddCustomer(t.Context(), Customer{ID: c, Name: "Customer " + c, Record: newRecord("u", start)}))
			s.ok(s.AddLocation(t.Context(), Location{ID: "l" + c, CustomerID: c, Name: "L", Record: newRecord("u", start)}))
			s.ok(s.AddEmployee(t.Context(), Employee{
				ID: "e" + c, CustomerID: c, UserID: "u" + c, Name: "E", Email: "E@x.example", Record: newRecord("u", start),
			}))
			team := Team{ID: "t" + c, CustomerID: c, Name: "T", Record: newRecord("u", start)}
			s.ok(s.AddTeam(t.Context(), team))
			if added, err := s.AddMember(t.Context(), team, "e"+c); err != nil || !added {
				t.Fatal(added, err)
			}
			s.ok(s.AddKey(t.Context(), KeyLink{KeyID: "k" + c, CustomerID: c, CreateTime: start, CreatedBy: "u"}))
		}
		test(t, s)
	})
}

func (s shelf) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s shelf) is(err, want error) {
	s.t.Helper()
	if !errors.Is(err, want) {
		s.t.Errorf("got %v, want %v", err, want)
	}
}

func grantOf(id string, to Subject, role Role, location string) Grant {
	return Grant{ID: id, CustomerID: "a", Subject: to, Role: role, LocationID: location, Record: newRecord("u", start)}
}

func TestStoreReturnsWhatItWasGiven(t *testing.T) {
	eachStore(t, func(t *testing.T, s shelf) {
		ctx := t.Context()
		record := Record{3, start, start.Add(time.Microsecond), "u1", "u2"}
		grant := Grant{
			ID: "g", CustomerID: "a", Subject: Subject{TeamID: "ta"}, Role: RoleArmer, LocationID: "la",
			Period: Period{start.Add(-1000 * time.Hour), start.Add(time.Hour)}, Record: record,
		}
		s.ok(s.AddGrant(ctx, grant))
		got, err := s.Grant(ctx, "g")
		s.ok(err)
		if diff := cmp.Diff(grant, got); diff != "" {
			t.Error(diff)
		}
		employee := Employee{ID: "e", CustomerID: "a", UserID: "u9", Name: "Ünal 'O\"; --", Email: "A@x.example", Record: record}
		s.ok(s.AddEmployee(ctx, employee))
		gotEmployee, err := s.Employee(ctx, "e")
		s.ok(err)
		if diff := cmp.Diff(employee, gotEmployee); diff != "" {
			t.Error(diff)
		}
		team, err := s.Team(ctx, "ta")
		s.ok(err)
		if !slices.Equal(team.Members, []string{"ea"}) {
			t.Errorf("members are %q", team.Members)
		}
	})
}

func TestStoreNamesWhatIsNotThere(t *testing.T) {
	eachStore(t, func(t *testing.T, s shelf) {
		ctx := t.Context()
		for _, err := range []error{
			second(s.Customer(ctx, "x")), second(s.Location(ctx, "x")), second(s.Employee(ctx, "x")),
			second(s.Team(ctx, "x")), second(s.Grant(ctx, "x")), second(s.Key(ctx, "x")),
			second(s.Standing(ctx, Caller{}, "x", start)),
			s.RemoveCustomer(ctx, "x"), s.RemoveLocation(ctx, "x"), s.RemoveEmployee(ctx, "x"),
			s.RemoveTeam(ctx, "x"), s.RemoveGrant(ctx, "x"),
		} {
			s.is(err, errAbsent)
		}
		s.ok(s.RemoveKey(ctx, "a", "x"))
	})
}

func second[T any](_ T, err error) error { return err }

func TestStoreRefusesAVersionThatIsNotTheNext(t *testing.T) {
	eachStore(t, func(t *testing.T, s shelf) {
		ctx := t.Context()
		s.ok(s.AddGrant(ctx, grantOf("g", Subject{EmployeeID: "ea"}, RoleViewer, "")))
		for _, version := range []int64{0, 1, 3} {
			r := newRecord("u", start)
			r.Version = version
			s.is(s.ReplaceCustomer(ctx, Customer{ID: "a", Name: "new", Record: r}), errStale)
			s.is(s.ReplaceLocation(ctx, Location{ID: "la", Name: "new", Record: r}), errStale)
			s.is(s.ReplaceEmployee(ctx, Employee{ID: "ea", Name: "new", Record: r}), errStale)
			s.is(s.ReplaceTeam(ctx, Team{ID: "ta", Name: "new", Record: r}), errStale)
			s.is(s.ReplaceGrant(ctx, Grant{ID: "g", Record: r}), errStale)
		}
		l, err := s.Location(ctx, "la")
		s.ok(err)
		if l.Name != "L" || l.Version != 1 {
			t.Errorf("location is %v", l)
		}
		l.Name, l.Record = "new", l.next("u2", start.Add(time.Second))
		s.ok(s.ReplaceLocation(ctx, l))
		got, err := s.Location(ctx, "la")
		s.ok(err)
		if diff := cmp.Diff(l, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestStoreListsForAPersonNothingOfAKeyOfThatName(t *testing.T) {
	eachStore(t, func(t *testing.T, s shelf) {
		ctx := t.Context()
		// A key has the id of a's employee's user, and a role at a place that the user has none at.
		s.ok(s.AddKey(ctx, KeyLink{KeyID: "ua", CustomerID: "a", CreateTime: start, CreatedBy: "u"}))
		s.ok(s.AddGrant(ctx, grantOf("g", Subject{KeyID: "ua"}, RoleViewer, "la")))
		page := Range{After: beginning, Limit: 9}
		for _, test := range []struct {
			caller               Caller
			locations, employees int
		}{
			{Caller{Kind: KindUser, ID: "ua"}, 0, 1},
			{Caller{Kind: KindKey, ID: "ua"}, 1, 0},
		} {
			standing, err := s.Standing(ctx, test.caller, "a", start)
			s.ok(err)
			locations, err := s.LocationsFor(ctx, standing, start, page)
			s.ok(err)
			employees, err := s.EmployeesFor(ctx, standing, page)
			s.ok(err)
			if len(locations) != test.locations || len(employees) != test.employees {
				t.Errorf("%v sees %d locations and %d employees, want %d and %d",
					test.caller, len(locations), len(employees), test.locations, test.employees)
			}
		}
	})
}

func TestStoreComparesAddressesWithoutCase(t *testing.T) {
	eachStore(t, func(t *testing.T, s shelf) {
		again := Employee{ID: "e", CustomerID: "a", UserID: "another", Email: "e@X.example", Record: newRecord("u", start)}
		s.is(s.AddEmployee(t.Context(), again), errDuplicate)
	})
}

// Whatever the service may forget to check, the database ties no two customers together.
func TestStoreKeepsCustomersApart(t *testing.T) {
	eachStore(t, func(t *testing.T, s shelf) {
		ctx := t.Context()
		for _, g := range []Grant{
			grantOf("g", Subject{EmployeeID: "eb"}, RoleViewer, ""),
			grantOf("g", Subject{TeamID: "tb"}, RoleViewer, ""),
			grantOf("g", Subject{KeyID: "kb"}, RoleViewer, ""),
			grantOf("g", Subject{EmployeeID: "ea"}, RoleViewer, "lb"),
			grantOf("g", Subject{}, RoleViewer, ""),
			grantOf("g", Subject{EmployeeID: "ea", TeamID: "ta"}, RoleViewer, ""),
			grantOf("g", Subject{EmployeeID: "ea"}, RoleCompanyAdmin, "la"),
			grantOf("g", Subject{TeamID: "ta"}, RoleCompanyAdmin, ""),
			grantOf("g", Subject{EmployeeID: "ea"}, "OWNER", ""),
		} {
			if err := s.AddGrant(ctx, g); err == nil {
				t.Errorf("stored %v", g)
			}
		}
		if _, err := s.AddMember(ctx, Team{ID: "ta", CustomerID: "a"}, "eb"); err == nil {
			t.Error("an employee of b is in a team of a")
		}
		if _, err := s.AddMember(ctx, Team{ID: "ta", CustomerID: "b"}, "eb"); err == nil {
			t.Error("a team of a is taken for one of b")
		}
		s.ok(s.RemoveKey(ctx, "a", "kb"))
		if _, err := s.Key(ctx, "kb"); err != nil {
			t.Error("a removed a key of b: ", err)
		}
		grants, err := s.Grants(ctx, "a", Range{After: beginning, Limit: 9})
		s.ok(err)
		if len(grants) > 0 {
			t.Errorf("there are grants %v", grants)
		}
	})
}

func TestStoreRemovesWhatBelongsToWhatIsRemoved(t *testing.T) {
	for _, test := range []struct {
		name   string
		remove func(ctx context.Context, s shelf) error
		left   []string
	}{
		{"employee", func(ctx context.Context, s shelf) error { return s.RemoveEmployee(ctx, "ea") }, []string{"key", "team"}},
		{"team", func(ctx context.Context, s shelf) error { return s.RemoveTeam(ctx, "ta") }, []string{"everywhere", "here", "key"}},
		{"key", func(ctx context.Context, s shelf) error { return s.RemoveKey(ctx, "a", "ka") }, []string{"everywhere", "here", "team"}},
		{"location", func(ctx context.Context, s shelf) error { return s.RemoveLocation(ctx, "la") }, []string{"everywhere"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			eachStore(t, func(t *testing.T, s shelf) {
				ctx := t.Context()
				s.ok(s.AddGrant(ctx, grantOf("everywhere", Subject{EmployeeID: "ea"}, RoleViewer, "")))
				s.ok(s.AddGrant(ctx, grantOf("here", Subject{EmployeeID: "ea"}, RoleViewer, "la")))
				s.ok(s.AddGrant(ctx, grantOf("team", Subject{TeamID: "ta"}, RoleViewer, "la")))
				s.ok(s.AddGrant(ctx, grantOf("key", Subject{KeyID: "ka"}, RoleViewer, "la")))
				s.ok(test.remove(ctx, s))
				grants, err := s.Grants(ctx, "a", Range{After: beginning, Limit: 9})
				s.ok(err)
				var left []string
				for _, g := range grants {
					left = append(left, g.ID)
				}
				if !slices.Equal(left, test.left) {
					t.Errorf("left are %q, want %q", left, test.left)
				}
			})
		})
	}
}

func TestStoreRemovesACustomerThatOwnsNothingElse(t *testing.T) {
	eachStore(t, func(t *testing.T, s shelf) {
		ctx := t.Context()
		s.is(s.RemoveCustomer(ctx, "a"), errInUse)
		s.ok(s.RemoveLocation(ctx, "la"))
		s.is(s.RemoveCustomer(ctx, "a"), errInUse)
		s.ok(s.RemoveKey(ctx, "a", "ka"))
		s.ok(s.RemoveCustomer(ctx, "a"))
		s.is(second(s.Employee(ctx, "ea")), errAbsent)
		s.is(second(s.Team(ctx, "ta")), errAbsent)
		s.ok(second(s.Employee(ctx, "eb")))
	})
}

func TestStoreListsInOrderWithoutGapsOrRepeats(t *testing.T) {
	eachStore(t, func(t *testing.T, s shelf) {
		ctx := t.Context()
		// Several rows have the same time, and later ids earlier times.
		for i := range 11 {
			id := fmt.Sprintf("l%02d", 20-i)
			s.ok(s.AddLocation(ctx, Location{
				ID: id, CustomerID: "a", Name: id, Record: newRecord("u", start.Add(time.Duration(i/3)*time.Second)),
			}))
		}
		want := []string{"l18", "l19", "l20", "la", "l15", "l16", "l17", "l12", "l13", "l14", "l10", "l11"}
		admin := Standing{Caller: Caller{Kind: KindUser, ID: "p", PlatformAdmin: true}, CustomerID: "a"}
		for _, size := range []int{1, 2, 3, 5, 12, 50} {
			var got []string
			at := beginning
			for {
				rows, err := s.LocationsFor(ctx, admin, start, Range{After: at, Limit: size})
				s.ok(err)
				for _, l := range rows {
					got = append(got, l.ID)
					at = Position{l.CreateTime, l.ID}
				}
				if len(rows) < size {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("by %d: %q, want %q", size, got, want)
			}
		}
	})
}

func TestStoreStandingIsOfOneCustomer(t *testing.T) {
	eachStore(t, func(t *testing.T, s shelf) {
		ctx := t.Context()
		// ua works for both.
		s.ok(s.AddEmployee(ctx, Employee{ID: "e2", CustomerID: "b", UserID: "ua", Email: "2@x.example", Record: newRecord("u", start)}))
		s.ok(s.AddGrant(ctx, grantOf("g", Subject{EmployeeID: "ea"}, RoleCompanyAdmin, "")))
		person := Caller{Kind: KindUser, ID: "ua"}
		inA, err := s.Standing(ctx, person, "a", start)
		s.ok(err)
		want := Standing{
			Caller: person, CustomerID: "a", EmployeeID: "ea",
			Held: []Held{{GrantID: "g", CustomerID: "a", Role: RoleCompanyAdmin}},
		}
		if diff := cmp.Diff(want, inA); diff != "" {
			t.Error(diff)
		}
		inB, err := s.Standing(ctx, person, "b", start)
		s.ok(err)
		if diff := cmp.Diff(Standing{Caller: person, CustomerID: "b", EmployeeID: "e2"}, inB); diff != "" {
			t.Error(diff)
		}
		nobody, err := s.Standing(ctx, Caller{}, "a", start)
		s.ok(err)
		if diff := cmp.Diff(Standing{CustomerID: "a"}, nobody); diff != "" {
			t.Error(diff)
		}
	})
}

func TestStoreUndoesATransactionThatFails(t *testing.T) {
	eachStore(t, func(t *testing.T, s shelf) {
		ctx := t.Context()
		failure := errors.New("no")
		err := s.Tx(ctx, func(r Records) error {
			s.ok(r.RemoveLocation(ctx, "la"))
			return failure
		})
		if err != failure { //nolint:errorlint // a status must come out as it went in
			t.Errorf("Tx returned %v", err)
		}
		s.ok(second(s.Location(ctx, "la")))
	})
}
