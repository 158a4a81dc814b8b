package securitysystem

import (
	"context"
	"errors"
	"strings"
	"unicode"

	securitysystemv1 "github.com/realguardio/realguardio/gen/go/realguardio/securitysystem/v1"
	"github.com/realguardio/realguardio/mesh"
)

// panelService implements PanelService. What a panel may do follows from its credentials alone: they belong to one system.
type panelService struct {
	securitysystemv1.UnsafePanelServiceServer
	*Service
}

// ReportAlarm implements PanelService.
func (p panelService) ReportAlarm(ctx context.Context, req *securitysystemv1.ReportAlarmRequest) (
	*securitysystemv1.ReportAlarmResponse, error,
) {
	if !printable(req.GetReportId()) {
		return nil, mesh.InvalidField("reportId", "must not contain control characters")
	}
	if !printable(req.GetDetail()) {
		return nil, mesh.InvalidField("detail", "must not contain control characters")
	}
	panel := mesh.Caller(ctx).ClientID
	var result System
	err := p.race(ctx, func() error {
		// A report that is repeated has been answered, whatever the system's state is by now. Asked before the system is
		// read, so that what is answered is not older than the report.
		acted, err := p.panels.Acted(ctx, panel, req.GetReportId())
		if err != nil {
			return err
		}
		system, err := p.own(ctx, panel)
		if err != nil || acted {
			result = system
			return err
		}
		c := p.cause(ctx, AlarmRaised)
		c.raised, c.detail, c.reportID = AlarmKind(req.GetAlarm().String()), req.GetDetail(), req.GetReportId()
		result, err = p.apply(ctx, system, c, func(s System) (System, bool, error) {
			next, err := s.Raise(c.raised)
			return next, true, err
		})
		if errors.Is(err, errRepeated) {
			result, err = p.own(ctx, panel)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &securitysystemv1.ReportAlarmResponse{SecuritySystem: systemProto(result, nil)}, nil
}

// ReportFaults implements PanelService.
func (p panelService) ReportFaults(ctx context.Context, req *securitysystemv1.ReportFaultsRequest) (
	*securitysystemv1.ReportFaultsResponse, error,
) {
	var faults []Fault
	for _, f := range req.GetFaults() {
		faults = append(faults, Fault(f.String()))
	}
	var result System
	err := p.race(ctx, func() error {
		system, err := p.own(ctx, mesh.Caller(ctx).ClientID)
		if err != nil {
			return err
		}
		result, err = p.apply(ctx, system, p.cause(ctx, FaultsChanged), func(s System) (System, bool, error) {
			next, changed := s.Report(faults)
			return next, changed, nil
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return &securitysystemv1.ReportFaultsResponse{SecuritySystem: systemProto(result, nil)}, nil
}

// own returns the system that the panel reports for.
func (p panelService) own(ctx context.Context, clientID string) (System, error) {
	system, err := p.panels.SystemOf(ctx, clientID)
	if errors.Is(err, errNoSystem) {
		return System{}, mesh.NotFound("panel", clientID)
	}
	return system, err
}

func printable(text string) bool { return !strings.ContainsFunc(text, unicode.IsControl) }
