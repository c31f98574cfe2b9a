using OwnDevice;
using Paravane.VhostServer.Hosting;

return new BackendProgram
{
    Name = "own-device",
    Description = "serves random bytes to a virtual machine as a virtio entropy device",
    DeviceType = "rng",
    Capabilities = [],
    CreateDevice = _ => new EntropyDevice(),
}.Run(args);
