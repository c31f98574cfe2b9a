using System.Globalization;

namespace Paravane.Peers;

/// <summary>qemu-storage-daemon with one vhost-user-blk export.</summary>
public static class StorageDaemon
{
    /// <summary>A disk that answers at once and touches no data: reads give zeroes nowhere, as our null store does.</summary>
    public static string NullDisk(long sizeBytes) =>
        string.Create(CultureInfo.InvariantCulture, $"driver=null-co,node-name=disk,size={sizeBytes},read-zeroes=off");

    /// <summary>A file, with one of <c>threads</c>, <c>native</c> and <c>io_uring</c>.</summary>
    public static string FileDisk(string path, string asynchronousIo) =>
        $"driver=file,node-name=disk,filename={path},aio={asynchronousIo},cache.direct={(asynchronousIo == "native" ? "on" : "off")}";

    /// <summary>Starts the daemon and waits until it listens. The export runs in an I/O thread of its own, which polls for 32 µs unless told otherwise.</summary>
    public static ChildProcess Start(string socketPath, string blockDevice, int queues, TimeSpan lifetime, int? cpu = null, long? pollNanoseconds = null)
    {
        string[] arguments =
        [
            "--object", pollNanoseconds is null ? "iothread,id=t0" : string.Create(CultureInfo.InvariantCulture, $"iothread,id=t0,poll-max-ns={pollNanoseconds}"),
            "--blockdev", blockDevice,
            "--export", string.Create(CultureInfo.InvariantCulture,
                $"type=vhost-user-blk,id=export,node-name=disk,addr.type=unix,addr.path={socketPath},writable=on,num-queues={queues},iothread=t0"),
        ];
        var process = ChildProcess.Start("qemu-storage-daemon", arguments, lifetime, cpu);
        try
        {
            ListeningSocket.WaitFor(socketPath, process, TimeSpan.FromSeconds(10));
            return process;
        }
        catch (PeerException)
        {
            process.Dispose();
            throw;
        }
    }
}
