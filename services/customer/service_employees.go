package customer

import (
	"context"

	customerv1 "github.com/realguardio/realguardio/gen/go/realguardio/customer/v1"
	"github.com/realguardio/realguardio/mesh"
	"github.com/realguardio/realguardio/services/internal/page"
	"github.com/realguardio/realguardio/services/internal/resourceid"
)

// employee returns an employee of the customer, and what the caller may do with it, which is not nothing.
func (v view) employee(ctx context.Context, id string) (Employee, Decision, error) {
	if !resourceid.Is(employeePrefix, id) {
		return Employee{}, Hidden, mesh.NotFound(anEmployee, id)
	}
	e, err := v.Employee(ctx, id)
	if err := found(err, anEmployee, id); err != nil {
		return Employee{}, Hidden, err
	}
	if e.CustomerID != v.who.CustomerID {
		return Employee{}, Hidden, mesh.NotFound(anEmployee, id)
	}
	d := DecideEmployee(v.who, id)
	return e, d, seen(d, anEmployee, id)
}

// employeeToChange returns an employee whom the caller may change and of whom etag is.
func (v view) employeeToChange(ctx context.Context, id, etag string) (Employee, error) {
	e, d, err := v.employee(ctx, id)
	if err != nil {
		return Employee{}, err
	}
	if err := managed(d, anEmployee, id); err != nil {
		return Employee{}, err
	}
	return e, e.match(etag)
}

// CreateEmployee finds out that the caller may before an account is made, and again in the transaction. An account
// without an employee gives no right, and repeating the call finds it.
func (s *Service) CreateEmployee(ctx context.Context, req *customerv1.CreateEmployeeRequest) (*customerv1.CreateEmployeeResponse, error) {
	if err := lines("name", req.GetName()); err != nil {
		return nil, err
	}
	v, err := s.look(ctx, req.GetCustomerId())
	if err != nil {
		return nil, err
	}
	if err := managed(DecideContents(v.who), aCustomer, v.who.CustomerID); err != nil {
		return nil, err
	}
	userID, err := s.provision(ctx, "email", req.GetEmail(), req.GetName())
	if err != nil {
		return nil, err
	}
	e := Employee{ID: resourceid.New(employeePrefix), UserID: userID, Name: req.GetName(), Email: req.GetEmail()}
	err = s.change(ctx, req.GetCustomerId(), func(v view) error {
		if err := managed(DecideContents(v.who), aCustomer, v.who.CustomerID); err != nil {
			return err
		}
		e.CustomerID, e.Record = v.who.CustomerID, v.made()
		if err := unique(v.AddEmployee(ctx, e), anEmployee, "the customer has an employee with that e-mail"); err != nil {
			return err
		}
		return v.did(ctx, "employee.create", e.ID, map[string]string{"user": e.UserID})
	})
	if err != nil {
		return nil, err
	}
	return &customerv1.CreateEmployeeResponse{Employee: employeeProto(e)}, nil
}

// GetEmployee implements the RPC.
func (s *Service) GetEmployee(ctx context.Context, req *customerv1.GetEmployeeRequest) (*customerv1.GetEmployeeResponse, error) {
	v, err := s.look(ctx, req.GetCustomerId())
	if err != nil {
		return nil, err
	}
	e, _, err := v.employee(ctx, req.GetEmployeeId())
	if err != nil {
		return nil, err
	}
	return &customerv1.GetEmployeeResponse{Employee: employeeProto(e)}, nil
}

// ListEmployees implements the RPC.
func (s *Service) ListEmployees(ctx context.Context, req *customerv1.ListEmployeesRequest) (*customerv1.ListEmployeesResponse, error) {
	list := listOf(req.GetCustomerId(), "employees")
	r, err := rangeOf(list, req.GetPageSize(), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	v, err := s.look(ctx, req.GetCustomerId())
	if err != nil {
		return nil, err
	}
	employees, err := v.EmployeesFor(ctx, v.who, r)
	if err != nil {
		return nil, err
	}
	employees, next := page.Cut(list, employees, r.Limit-1, func(e Employee) []string { return placeOf(e.CreateTime, e.ID) })
	return &customerv1.ListEmployeesResponse{Employees: each(employees, employeeProto), NextPageToken: next}, nil
}

// UpdateEmployee implements the RPC.
func (s *Service) UpdateEmployee(ctx context.Context, req *customerv1.UpdateEmployeeRequest) (*customerv1.UpdateEmployeeResponse, error) {
	if err := lines("name", req.GetName()); err != nil {
		return nil, err
	}
	var e Employee
	err := s.change(ctx, req.GetCustomerId(), func(v view) (err error) {
		if e, err = v.employeeToChange(ctx, req.GetEmployeeId(), req.GetEtag()); err != nil {
			return err
		}
		e.Name, e.Record = req.GetName(), v.changed(e.Record)
		if err := fresh(v.ReplaceEmployee(ctx, e)); err != nil {
			return err
		}
		return v.did(ctx, "employee.update", e.ID, map[string]string{"user": e.UserID})
	})
	if err != nil {
		return nil, err
	}
	return &customerv1.UpdateEmployeeResponse{Employee: employeeProto(e)}, nil
}

// RemoveEmployee implements the RPC.
func (s *Service) RemoveEmployee(ctx context.Context, req *customerv1.RemoveEmployeeRequest) (*customerv1.RemoveEmployeeResponse, error) {
	err := s.change(ctx, req.GetCustomerId(), func(v view) error {
		e, err := v.employeeToChange(ctx, req.GetEmployeeId(), req.GetEtag())
		if err != nil {
			return err
		}
		if err := v.RemoveEmployee(ctx, e.ID); err != nil {
			return err
		}
		if err := v.keepsAdmin(ctx); err != nil {
			return err
		}
		return v.did(ctx, "employee.remove", e.ID, map[string]string{"user": e.UserID})
	})
	if err != nil {
		return nil, err
	}
	return &customerv1.RemoveEmployeeResponse{}, nil
}
