package topics

import (
	"fmt"
	"path"
	"regexp"
	"strconv"

	"github.com/sluice-gateway/sluice/core/config"
)

// Config is the topics section of a chain.
type Config struct {
	// Prefix is put before the names of topics, groups and transactional ids on the clusters, so
	// that virtual clusters can share them. Clients never see it.
	Prefix string `koanf:"prefix"`
	// Hide lists globs of topics that clients neither see nor reach.
	Hide []string `koanf:"hide"`
}

// legal is what Kafka allows in names of topics.
var legal = regexp.MustCompile(`^[a-zA-Z0-9._-]*$`)

func decode(section config.Section) (Config, error) {
	var c Config
	if err := section.Decode(&c); err != nil {
		return c, err
	}
	var errs config.Errors
	for i, g := range c.Hide {
		if _, err := path.Match(g, ""); err != nil || g == "" {
			errs = append(errs, section.Errorf([]string{"hide", strconv.Itoa(i)}, "%q is not a glob", g))
		}
	}
	if !legal.MatchString(c.Prefix) {
		errs = append(errs, section.Errorf([]string{"prefix"}, "%q has characters that a topic's name can't have (letters, digits, . _ -)", c.Prefix))
	}
	if len(errs) > 0 {
		return c, errs
	}
	return c, nil
}

func (c Config) hidden(topic string) bool {
	for _, g := range c.Hide {
		if ok, _ := path.Match(g, topic); ok {
			return true
		}
	}
	return false
}

func (c Config) String() string { return fmt.Sprintf("prefix=%q hide=%v", c.Prefix, c.Hide) }
