package account

import "time"

// LetterKind is what a mail is about.
type LetterKind string

// Kinds of letter. Those named as a purpose carry a link of that purpose.
const (
	InvitationLetter   LetterKind = "invitation"
	ResetLetter        LetterKind = "reset"
	VerificationLetter LetterKind = "verification"
	NewAddressLetter   LetterKind = "new-address"
	// AddressAskedLetter tells the address of before that another one was asked for, AddressChangedLetter that the
	// account has it.
	AddressAskedLetter   LetterKind = "address-asked"
	AddressChangedLetter LetterKind = "address-changed"
	// PasswordChangedLetter tells that somebody has chosen another password.
	PasswordChangedLetter LetterKind = "password-changed"
	// IdentityLinkedLetter tells that another provider signs the person in.
	IdentityLinkedLetter LetterKind = "identity-linked"
	// RecoveryRequest is no letter yet: somebody has asked for a link to an address. Whether there is an account is
	// looked up where nobody waits for the answer.
	RecoveryRequest LetterKind = "recovery"
)

// Letter is a mail that is to be sent. It has no secret in it: the mail is written when it is sent.
type Letter struct {
	ID   string
	Kind LetterKind
	// UserID is whom it concerns; empty for a RecoveryRequest.
	UserID string
	// Name and Address are the recipient's.
	Name, Address string
	// TicketHash is of the link that it carries; empty without one. A letter whose link is over is not sent.
	TicketHash string
	// Attempts is how often sending was tried.
	Attempts int
	Created  time.Time
	// Traceparent is where in a trace it was asked for (W3C Trace Context); empty for nowhere. The store takes it from the
	// context of whoever stores the letter.
	Traceparent string
}

// Post is what goes out because of a change, and is stored with it: all or nothing.
type Post struct {
	// Ticket is nil without one.
	Ticket  *Ticket
	Letters []Letter
}
