package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strconv"
)

// Required refuses an empty value.
func Required(value string) error {
	if value == "" {
		return errors.New("is required")
	}
	return nil
}

// Address wants host:port, the host possibly empty (every interface).
func Address(value string) error {
	if value == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(value)
	if err != nil {
		return fmt.Errorf("%q must be host:port or :port", value)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q has no port between 0 and 65535", value)
	}
	return nil
}

// HTTPURL wants an absolute http or https URL with nothing after its path. It never repeats the value: a URL may hold a
// password.
func HTTPURL(value string) error {
	if value == "" {
		return nil
	}
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("must be an absolute http or https URL without user, query and fragment")
	}
	return nil
}

// File wants a file that this process can read.
func File(value string) error {
	if value == "" {
		return nil
	}
	file, err := os.Open(value)
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return fmt.Errorf("cannot read file %s: %w", value, err)
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.IsDir() {
		return fmt.Errorf("cannot read file %s: it is a folder", value)
	}
	return nil
}

// OneOf wants one of these values.
func OneOf(allowed ...string) Check {
	return func(value string) error {
		for _, a := range allowed {
			if a == value {
				return nil
			}
		}
		return fmt.Errorf("%q must be one of %q", value, allowed)
	}
}

// Secret reads the secret in a file, without its last newline.
func Secret(path string) (string, error) {
	secret, err := trimmed(path)
	if err != nil {
		var pathError *fs.PathError
		if errors.As(err, &pathError) {
			err = pathError.Err
		}
		return "", fmt.Errorf("cannot read secret file %s: %w", path, err)
	}
	if secret == "" {
		return "", fmt.Errorf("secret file %s is empty", path)
	}
	return secret, nil
}
