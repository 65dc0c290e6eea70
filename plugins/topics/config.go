package topics

import (
	"fmt"
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
	errs := section.Partly(&c)
	var more config.Errors
	for i, g := range c.Hide {
		if err := config.CheckGlob(g); err != nil {
			more = append(more, section.Errorf([]string{"hide", strconv.Itoa(i)}, "%v", err))
		}
	}
	if !legal.MatchString(c.Prefix) {
		more = append(more, section.Errorf([]string{"prefix"}, "%q has characters that a topic's name can't have (letters, digits, . _ -)", c.Prefix))
	}
	return c, errs.And(more...).Err()
}

func (c Config) hidden(topic string) bool {
	for _, g := range c.Hide {
		if config.MatchGlob(g, topic) {
			return true
		}
	}
	return false
}

func (c Config) String() string { return fmt.Sprintf("prefix=%q hide=%v", c.Prefix, c.Hide) }
