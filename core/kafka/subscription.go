package kafka

import "encoding/binary"

// SubscribedTopics are the topics that a member of a group of consumers names when it joins: the
// head of ConsumerProtocolSubscription, which is the same in all versions. What is not of that
// format has none.
func SubscribedTopics(metadata []byte) (topics []string) {
	if len(metadata) < 6 {
		return nil
	}
	n, rest := binary.BigEndian.Uint32(metadata[2:]), metadata[6:]
	for ; n > 0; n-- {
		if len(rest) < 2 {
			return nil
		}
		size := int(binary.BigEndian.Uint16(rest))
		if rest = rest[2:]; size > len(rest) {
			return nil
		}
		topics, rest = append(topics, string(rest[:size])), rest[size:]
	}
	return topics
}
