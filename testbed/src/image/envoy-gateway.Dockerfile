FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "mkdir", "-m", "1777", "/tmp"]
COPY envoy-gateway /usr/local/bin/envoy-gateway
ENV PATH=/usr/local/bin:/bin
CMD ["envoy-gateway"]
