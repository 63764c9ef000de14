COPY git-server.py /usr/local/bin/git-server.py
RUN mkdir -p /srv/git
EXPOSE 8080
CMD ["python3", "/usr/local/bin/git-server.py"]
