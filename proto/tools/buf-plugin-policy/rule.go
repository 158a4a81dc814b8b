package main

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/durationpb"
)

// rule is a realguardio.mesh.v1.Rule.
type rule struct {
	public, sensitive             bool
	callers                       []uint64
	anyRole, allScopes, workloads []string
	// maxAge is nil where there is none.
	maxAge *durationpb.Duration
	acr    string
}

// Values of realguardio.mesh.v1.CallerKind.
const kindUser, kindWorkload, lastKind = 1, 3, 3

// anyWorkload among workloads stands for all.
const anyWorkload = "*"

// decode reads an encoded rule. What it does not know says nothing about who may call.
func decode(encoded []byte) *rule {
	r := &rule{}
	each(encoded, func(number protowire.Number, value []byte) {
		switch number {
		case 1:
			r.public = varint(value) != 0
		case 2:
			r.callers = append(r.callers, varints(value)...)
		case 3:
			r.anyRole = append(r.anyRole, string(value))
		case 4:
			r.allScopes = append(r.allScopes, string(value))
		case 5:
			r.workloads = append(r.workloads, string(value))
		case 7:
			r.sensitive = varint(value) != 0
		case 8:
			if r.maxAge == nil {
				r.maxAge = &durationpb.Duration{}
			}
			addDuration(r.maxAge, value)
		case 9:
			r.acr = string(value)
		}
	})
	return r
}

func addDuration(d *durationpb.Duration, encoded []byte) {
	each(encoded, func(number protowire.Number, value []byte) {
		switch number {
		case 1:
			d.Seconds = int64(varint(value))
		case 2:
			d.Nanos = int32(varint(value))
		}
	})
}

// problem says why a rule must not stand, or "". It finds what mesh.NewPolicies finds, in the same order and words: a server
// does not start with what is refused here. Nil is no rule at all.
func (r *rule) problem() string {
	if r == nil {
		return "there is none, neither its own nor its service's"
	}
	workload := slices.Contains(r.callers, kindWorkload)
	demands := len(r.callers)+len(r.anyRole)+len(r.allScopes)+len(r.workloads) > 0 || r.sensitive || r.acr != "" || r.maxAge != nil
	age := r.maxAge.AsDuration()
	switch {
	case r.public && demands:
		return "public excludes every demand"
	case r.public:
		return ""
	case len(r.callers) == 0:
		return "it admits nobody: callers is empty"
	case slices.ContainsFunc(r.callers, func(kind uint64) bool { return kind == 0 || kind > lastKind }):
		return "callers names an unknown kind"
	case hasDuplicate(r.callers):
		return "callers names a kind twice"
	case workload && len(r.workloads) == 0:
		return "callers has workload, but workloads names none"
	case !workload && len(r.workloads) > 0:
		return "workloads are named, but callers has no workload"
	case slices.Contains(r.workloads, anyWorkload) && len(r.workloads) > 1:
		return "workloads names some beside any"
	case hasBlank(r.anyRole) || hasBlank(r.allScopes) || hasBlank(r.workloads):
		return "a role, scope or workload is blank or has a space in it"
	case r.maxAge != nil && (!r.maxAge.IsValid() || age <= 0):
		return "max_age must be positive"
	case (age > 0 || r.acr != "") && !slices.Equal(r.callers, []uint64{kindUser}):
		return "max_age and acr speak of persons, so callers must be user alone"
	case age%time.Second != 0:
		return "max_age must be whole seconds, which is how sign-ins are dated"
	}
	return ""
}

func hasDuplicate(s []uint64) bool {
	return len(slices.Compact(slices.Sorted(slices.Values(s)))) != len(s)
}

func hasBlank(s []string) bool {
	return slices.ContainsFunc(s, func(v string) bool { return v == "" || strings.ContainsAny(v, " \t\n") })
}

// varint reads one that is the whole of value.
func varint(value []byte) uint64 {
	v, _ := protowire.ConsumeVarint(value)
	return v
}

// varints reads those of a repeated field, packed or one at a time.
func varints(value []byte) (all []uint64) {
	for len(value) > 0 {
		v, n := protowire.ConsumeVarint(value)
		if n < 0 {
			return all
		}
		all, value = append(all, v), value[n:]
	}
	return all
}

// each calls f for every field of an encoded message with its bytes, without the tag and length.
func each(message []byte, f func(protowire.Number, []byte)) {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return
		}
		message = message[n:]
		size := protowire.ConsumeFieldValue(number, kind, message)
		if size < 0 {
			return
		}
		value := message[:size]
		if kind == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(value)
		}
		f(number, value)
		message = message[size:]
	}
}
