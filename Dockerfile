# The command and its readers and writers, on Debian's Python:
#     docker build -t kappamask .
#     docker run --rm -v "$PWD:/data" kappamask mask /data/SCENE.tif -o /data/mask.tif
FROM python:3.12-slim
COPY . /source
RUN python -m pip install --no-cache-dir '/source[scenes,stac,zarr]' && rm -rf /source
RUN kappamask doctor
WORKDIR /data
ENTRYPOINT ["kappamask"]
CMD ["--help"]
