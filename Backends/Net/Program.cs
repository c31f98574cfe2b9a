using Paravane.Backends.Net;
using Paravane.VhostServer.Hosting;

var options = new NetOptions();
return new BackendProgram
{
    Name = "paravane-net",
    Description = "Serves a virtio network device over vhost-user.",
    DeviceType = "net",
    Capabilities = [],
    Options = options.All,
    CreateDevice = options.CreateDevice,
}.Run(args);
