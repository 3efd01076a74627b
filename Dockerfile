# A static binary on an empty base, run by a user that is not root. Listens on all interfaces, since the container's own
# network decides who reaches it; --advertise auto sends clients back to where they came in.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /kbroker ./cmd/kbroker && mkdir /data

FROM scratch
COPY --from=build /kbroker /kbroker
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
ENV KBROKER_LISTEN=0.0.0.0:9092 KBROKER_DATA_DIR=/data KBROKER_HTTP=0.0.0.0:9644
VOLUME /data
EXPOSE 9092 9644
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=2s --retries=5 CMD ["/kbroker", "healthcheck"]
ENTRYPOINT ["/kbroker"]
