package groupcoord

import (
	"errors"

	"github.com/kbroker/kbroker/cluster"
	"github.com/kbroker/kbroker/coord"
	"github.com/kbroker/kbroker/storage"
	"github.com/twmb/franz-go/pkg/kerr"
)

// responseCode is how clients are told why a write didn't come to pass: so that they try again, here or with the coordinator that
// there is by then.
func responseCode(err error) int16 {
	if err == nil {
		return 0
	}
	var kafka *kerr.Error
	switch {
	case errors.As(err, &kafka):
		return kafka.Code
	case errors.Is(err, coord.ErrLoading):
		return kerr.CoordinatorLoadInProgress.Code
	case errors.Is(err, coord.ErrTimeout), errors.Is(err, cluster.ErrNotEnoughReplicas), errors.Is(err, cluster.ErrNotEnoughReplicasAfterAppend),
		errors.Is(err, cluster.ErrUnknownTopicOrPartition):
		return kerr.CoordinatorNotAvailable.Code
	case errors.Is(err, coord.ErrNotCoordinator), errors.Is(err, cluster.ErrNotLeader), errors.Is(err, cluster.ErrShuttingDown),
		errors.Is(err, cluster.ErrFencedLeaderEpoch), errors.Is(err, storage.ErrStorage), errors.Is(err, storage.ErrMemoryBudget), errors.Is(err, storage.ErrClosed):
		return kerr.NotCoordinator.Code
	default: // also coord.ErrTooLarge, as in Kafka
		return kerr.UnknownServerError.Code
	}
}

// fetchCode is responseCode for OffsetFetch: older consumers don't try again on COORDINATOR_NOT_AVAILABLE.
func fetchCode(err error) int16 {
	if code := responseCode(err); code != kerr.CoordinatorNotAvailable.Code {
		return code
	}
	return kerr.NotCoordinator.Code
}
