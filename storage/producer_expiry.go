package storage

// SetProducerExpiry changes producer.id.expiration.ms, in milliseconds, of a living log; 0 is the default. It counts from the next ExpireProducers on.
func (l *Log) SetProducerExpiry(millis int64) {
	if millis <= 0 {
		millis = DefaultProducerExpiryMillis
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.producers.expiryMillis = millis
}
