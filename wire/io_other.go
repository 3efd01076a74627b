//go:build !linux

package wire

// attach has nothing to ready here: bytes are read and written through net.Conn.
func (c *Conn) attach() {}

func (c *Conn) write(b *batch, _ bool) (done bool, err error) { return true, c.writePlain(b) }

func (c *Conn) peerGone() bool { return false }
