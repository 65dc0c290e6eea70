package kafka

// mostTopicName is how long Kafka lets a topic's name be.
const mostTopicName = 249

// LegalTopic reports that there may be a topic of this name.
func LegalTopic(name string) bool {
	if name == "" || name == "." || name == ".." || len(name) > mostTopicName {
		return false
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
