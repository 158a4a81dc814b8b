package web

import "strings"

// browserName is what people call the browser that calls itself so, "" for what is none that we know. Each browser names
// those before it in its line too: the first that fits counts.
func browserName(userAgent string) string {
	first := func(names ...string) string {
		for i := 0; i < len(names); i += 2 {
			if strings.Contains(userAgent, names[i]) {
				return names[i+1]
			}
		}
		return ""
	}
	browser := first("Edg", "Edge", "OPR/", "Opera", "Firefox/", "Firefox", "FxiOS/", "Firefox", "Chrome/", "Chrome", "CriOS/", "Chrome", "Safari/", "Safari")
	system := first("iPhone", "an iPhone", "iPad", "an iPad", "Android", "Android", "Windows", "Windows", "Mac OS X", "a Mac", "CrOS", "a Chromebook", "Linux", "Linux")
	if browser == "" || system == "" {
		return browser
	}
	return browser + " on " + system
}
