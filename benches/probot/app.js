// Probot checks the signature and calls this; it stores nothing.
export default (app) => {
  app.on("issues.labeled", async () => {});
};
