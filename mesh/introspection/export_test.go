package introspection

// Remembered is how many tokens are.
func (v *Verifier) Remembered() int { return len(v.good.of) + len(v.bad.of) }
