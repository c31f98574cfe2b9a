using Paravane.VhostServer.Hosting;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Block.Stores;

/// <summary>Opens images for <see cref="FileStore{TImage}"/> and says in one line why one cannot be used.</summary>
internal static class FileStore
{
    /// <summary>A predecessor that was killed holds the image until its last request in the kernel is done.</summary>
    private static readonly TimeSpan s_lockPatience = TimeSpan.FromSeconds(1);

    /// <summary>Opens an image once for each queue and once for the session.</summary>
    /// <param name="path">Regular file or block device.</param>
    /// <param name="options">How the disk shows itself.</param>
    /// <param name="mode">How to reach it.</param>
    /// <param name="warn">Hears one sentence when the kernel refuses io_uring.</param>
    /// <exception cref="StartException">It is missing, no file or device, of a wrong length, served by somebody else, or may not be opened that way.</exception>
    public static Store Open(string path, BlockDeviceOptions options, FileAccessMode mode, Action<string> warn)
    {
        var files = new List<ImageFile>();
        try
        {
            for (int i = 0; i <= options.QueueCount; i++)
            {
                files.Add(OpenChecked(path, options, mode.Direct));
            }

            Lock(files[^1], path, options.ReadOnly);
        }
        catch
        {
            files.ForEach(file => file.Dispose());
            throw;
        }

        ImageFile session = files[^1];
        var medium = new FileMedium
        {
            LengthBytes = session.LengthBytes,
            PhysicalBlockBytes = session.PhysicalBlockBytes,
            IsInMemory = session.Status.IsInMemory && !mode.Direct,
            MemoryAlignmentBytes = session.MemoryAlignmentBytes,
            PositionAlignmentBytes = session.PositionAlignmentBytes,
        };
        bool waits = mode.Queue && !medium.IsInMemory;
        if (waits && IoUring.FindObstacle(session) is { } obstacle)
        {
            warn($"--blk-file={path}: no io_uring ({obstacle}), so requests are carried out one after the other");
            waits = false;
        }

        return new FileStore<KernelImage>(
            medium, (config, memory) => OpenQueue(files[config.Index], config, memory, waits, mode.Pin), session.DataSync, () => files.ForEach(file => file.Dispose()));
    }

    private static KernelImage OpenQueue(ImageFile file, QueueConfig config, GuestMemory memory, bool waits, bool pins)
    {
        // A ring that could be had at the start and cannot now (descriptors, locked memory) costs speed, not service.
        IoUring? ring = waits ? IoUring.TryOpen(file, config.Size, out _) : null;
        var image = new KernelImage(file, ring, pins);
        image.OnMemoryChanged(memory);
        return image;
    }

    private static ImageFile OpenChecked(string path, BlockDeviceOptions options, bool direct)
    {
        ImageFile file;
        try
        {
            file = ImageFile.Open(path, !options.ReadOnly, direct);
        }
        catch (LinuxException failure)
        {
            throw new StartException($"--blk-file={path}: {Explain(failure, options, direct)}");
        }

        if (FindError(file, options) is { } error)
        {
            file.Dispose();
            throw new StartException($"--blk-file={path}: {error}");
        }

        return file;
    }

    /// <summary>Two that write one image destroy it, and so does one that writes what others read.</summary>
    private static void Lock(ImageFile file, string path, bool shared)
    {
        long start = Environment.TickCount64;
        while (file.TryLock(shared) == Errno.EAGAIN) // every other error means that this file system has no locks
        {
            if (Environment.TickCount64 - start > s_lockPatience.TotalMilliseconds)
            {
                throw new StartException($"--blk-file={path}: another back-end serves it{(shared ? " for writing" : string.Empty)}; one image has one writer, or readers only");
            }

            Thread.Sleep(10);
        }
    }

    private static string Explain(LinuxException failure, BlockDeviceOptions options, bool direct) => failure.Errno switch
    {
        Errno.ENOENT or Errno.ENOTDIR => "there is no such file",
        Errno.EISDIR => "is a directory, not a file or block device",
        Errno.EINVAL when direct => "its file system has no direct I/O; give --direct=off",
        _ when failure.Call != "open" => failure.Message,
        _ => $"cannot be opened for {(options.ReadOnly ? "reading" : "reading and writing")}: {Errno.TextOf(failure.Errno)} ({Errno.NameOf(failure.Errno)})"
            + (!options.ReadOnly && failure.Errno is Errno.EACCES or Errno.EROFS or Errno.EPERM or Errno.ETXTBSY ? "; --read-only needs less" : string.Empty),
    };

    private static string? FindError(ImageFile file, BlockDeviceOptions options)
    {
        if (file.Status.IsDirectory)
        {
            return "is a directory, not a file or block device";
        }

        if (!file.Status.IsRegular && !file.Status.IsBlockDevice)
        {
            return "is neither a regular file nor a block device";
        }

        if (file.LengthBytes < BlockLimits.SectorBytes)
        {
            return $"is {file.LengthBytes} bytes long, less than one sector of {BlockLimits.SectorBytes} bytes";
        }

        if (file.LengthBytes % options.LogicalBlockBytes != 0)
        {
            return $"its length of {file.LengthBytes} bytes is not a multiple of the block size, {options.LogicalBlockBytes} bytes";
        }

        return file.PositionAlignmentBytes <= options.LogicalBlockBytes
            ? null
            : $"direct I/O works in blocks of {file.PositionAlignmentBytes} bytes here; give --logical-block-size=4096 or --direct=off";
    }
}
