using Paravane.VhostServer.Hosting;

namespace Paravane.Backends.Net;

/// <summary>The program <c>paravane-net</c>.</summary>
internal static class NetProgram
{
    /// <summary>Runs until the process is asked to stop.</summary>
    /// <returns>The exit code.</returns>
    public static int Run(string[] args)
    {
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
    }
}
