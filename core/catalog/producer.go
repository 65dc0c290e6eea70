package catalog

// Producer ids that Sluice hands out are ProducerBit | generation (15 bits) | store (23 random
// bits) | counter (24 bits). Clusters allocate from 0 and never get there. Clients see generation 0
// for ever; a cluster sees the generation of the partition, because after a fail back the old home
// still remembers the producer's last sequence and would refuse the next one.
const (
	ProducerBit         = int64(1) << 62
	ProducerCounterBits = 24
	ProducerStoreBits   = 23

	producerGenerationShift = ProducerCounterBits + ProducerStoreBits
	producerGenerations     = 1 << 15
)

// IsGatewayProducer reports whether Sluice handed the producer id out.
func IsGatewayProducer(id int64) bool { return id >= 0 && id&ProducerBit != 0 }

// StampProducer is the producer id that the clusters see for a partition in a generation.
func StampProducer(id int64, generation int32) int64 {
	return id&^(int64(producerGenerations-1)<<producerGenerationShift) | int64(generation%producerGenerations)<<producerGenerationShift
}

// ClientProducer strips the generation: the id that the client knows.
func ClientProducer(id int64) int64 {
	if !IsGatewayProducer(id) {
		return id
	}
	return StampProducer(id, 0)
}
