package customer_test

import (
	"testing"

	"github.com/realguardio/realguardio/mesh/meshtest"
)

func TestEveryMethodRefusesBadTokens(t *testing.T) {
	meshtest.RefusesBadTokens(t, newWorld(t).server)
}
