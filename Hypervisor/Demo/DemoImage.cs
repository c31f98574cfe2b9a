using System.Text;
using Microsoft.Win32.SafeHandles;
using Paravane.VirtioQueues.Linux;
using Tmds.Linux;

namespace Paravane.Hypervisor.Demo;

/// <summary>The temporary disk image of the demo.</summary>
internal sealed class DemoImage : IDisposable
{
    private DemoImage(string path, long sizeBytes, SafeFileHandle handle)
    {
        Path = path;
        SizeBytes = sizeBytes;
        Handle = handle;
    }

    /// <summary>Where it lies.</summary>
    public string Path { get; }

    /// <summary>Its size.</summary>
    public long SizeBytes { get; }

    /// <summary>For reading it from outside the device.</summary>
    public SafeFileHandle Handle { get; }

    /// <summary>Creates an image that nobody else can open, of zeros without space.</summary>
    /// <exception cref="IOException">The temporary folder cannot be written.</exception>
    public static unsafe DemoImage Create(long sizeBytes)
    {
        const int OwnerOnly = 0x180; // 0600
        string path = System.IO.Path.Combine(System.IO.Path.GetTempPath(), $"paravane-demo-{Environment.ProcessId}-{Guid.NewGuid():N}.img");
        SafeFileHandle handle;
        fixed (byte* name = Encoding.UTF8.GetBytes(path + '\0'))
        {
            int fd = LibC.open(name, LibC.O_RDWR | LibC.O_CREAT | LibC.O_EXCL | LibC.O_CLOEXEC, OwnerOnly);
            if (fd < 0)
            {
                throw new IOException($"no disk image can be made in {System.IO.Path.GetTempPath()} ({Errno.TextOf(Errno.Last)}); set TMPDIR to a folder that can be written");
            }

            handle = new SafeFileHandle(fd, ownsHandle: true);
        }

        var image = new DemoImage(path, sizeBytes, handle);
        try
        {
            RandomAccess.SetLength(handle, sizeBytes);
            return image;
        }
        catch (IOException failure)
        {
            image.Dispose();
            throw new IOException($"no disk image of {sizeBytes >> 20} MiB can be made in {System.IO.Path.GetTempPath()}", failure);
        }
    }

    /// <summary>Takes the name away once the device has it open, so that nothing stays behind however this process ends.</summary>
    public void Unname() => File.Delete(Path);

    /// <inheritdoc/>
    public void Dispose()
    {
        Handle.Dispose();
        Unname();
    }
}
