using System.Text;
using Paravane.VirtioQueues.Linux;
using Tmds.Linux;

namespace Paravane.VhostServer.Tests.Support;

/// <summary>Descriptors that no well-meaning front-end would send, and some that odd ones do.</summary>
internal static unsafe class OddDescriptors
{
    public static int OpenFile() => Open("/proc/self/cmdline");

    public static int OpenDirectory() => Open("/tmp");

    public static (FileDescriptor Read, FileDescriptor Write) Pipe()
    {
        int* ends = stackalloc int[2];
        FileDescriptor.Check(LibC.pipe2(ends, LibC.O_CLOEXEC), "pipe2");
        return (new FileDescriptor(ends[0]), new FileDescriptor(ends[1]));
    }

    public static FileDescriptor BlockingEventFd() => new(FileDescriptor.Check(LibC.eventfd(0, LibC.EFD_CLOEXEC), "eventfd"));

    public static bool IsNonBlocking(FileDescriptor descriptor) => (LibC.fcntl(descriptor.Number, LibC.F_GETFL) & LibC.O_NONBLOCK) != 0;

    public static void Fill(FileDescriptor pipe)
    {
        pipe.SetNonBlocking();
        byte* block = stackalloc byte[4096];
        while (LibC.write(pipe.Number, block, 4096) > 0)
        {
        }
    }


    private static int Open(string path)
    {
        fixed (byte* name = Encoding.UTF8.GetBytes(path + "\0"))
        {
            return FileDescriptor.Check(LibC.open(name, LibC.O_RDONLY | LibC.O_CLOEXEC), "open", path);
        }
    }
}
