package telemetry

import (
	"net/http"
	"strings"
)

// longestName is how long a segment of a path may be for a log to repeat it, in bytes: longer than any id of ours, shorter
// than any token.
const longestName = 40

// Path is a URL's path as a log may have it. Somebody may put a token there by mistake, so that a segment which is too long
// for an id is left out, and the path is cut off where it is long for a path.
func Path(path string) string {
	const limit = 256
	cut := path[:min(len(path), limit)]
	if len(path) <= longestName {
		return cut
	}
	segments := strings.Split(cut, "/")
	for i, s := range segments {
		if len(s) > longestName {
			segments[i] = "[long]"
		}
	}
	return strings.Join(segments, "/")
}

// Method is a request's method as a log, metric or span may have it: one that there is, or "other".
func Method(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	default:
		return "other"
	}
}
