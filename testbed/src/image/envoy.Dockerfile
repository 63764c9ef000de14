FROM scratch
COPY root /
COPY envoy /usr/local/bin/envoy
ENV PATH=/usr/local/bin
CMD ["envoy"]
